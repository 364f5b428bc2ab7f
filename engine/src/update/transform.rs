//! `transform` and `plan --image`: an image in place of a process. No process is made, stopped or looked at.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dsu_formats::image::ImageReader;
use dsu_formats::model::latest::{PageSource, Snapshot, VesselWork};

use super::capture;
use super::cold;
use super::error::UpdateError;
use super::libraries::{self, Libraries};
use super::operation::{ImagePair, ImagePlanned, ImageSummary, Observer, TransformOutcome, Transformed};
use super::planner::{self, Prepared, Told};
use super::prepare::Builds;
use super::restore::{check_image, open_image, this_host};
use super::stored::files::StoredFiles;
use super::stored::memory::StoredMemory;
use super::stored::program;
use super::stored::rewritten::Rewritten;
use super::timeline::Timeline;
use crate::plan;
use crate::plan::request::Policy;
use crate::plan::rewrite::Rewrite;
use crate::program::build::DebugSearch;
use crate::resources::memory::read_mapping_lines;

/// Writes the image that the new program goes on from to `output`.
///
/// # Errors
/// Everything that stands in the way, or a file that cannot be read or written. There is no new file at `output` then.
pub fn transform(request: &ImagePair, output: &Path, observer: &mut dyn Observer) -> Result<TransformOutcome, UpdateError> {
    let mut timeline = Timeline::start();
    let image = read(request, observer)?;
    let builds = open_builds(&image, request, observer)?;
    timeline.mark("read image and programs");
    if builds.are_same() {
        return Ok(TransformOutcome::UpToDate { build_id: builds.new.elf.build_id.unwrap_or_default() });
    }
    let mut subject = Subject::new(&image, &builds)?;
    let rewrite = subject.plan(request, observer)?;
    timeline.mark("plan");
    observer.step("write image");
    subject.files.add_program(&rewrite.snapshot, &builds.new.elf.bytes);
    let (old, new) = builds.build_ids();
    let rewritten = Rewritten { image: &image, rewrite: &rewrite, files: &subject.files, build_ids: (old, new) };
    let summary = rewritten.write(output)?;
    timeline.mark("write image");
    Ok(TransformOutcome::Transformed(Box::new(Transformed {
        planned: subject.told(request, rewrite, &timeline),
        image: ImageSummary {
            path: output.to_owned(),
            bytes: summary.bytes,
            pages_stored: summary.stored_pages,
            zero_pages: summary.zero_pages,
        },
        identity: summary.identity,
        parent: image.identity(),
    })))
}

/// Plans the move of an image and changes nothing.
///
/// # Errors
/// Everything that stands in the way, or a file that cannot be read.
pub fn plan_image(request: &ImagePair, observer: &mut dyn Observer) -> Result<ImagePlanned, UpdateError> {
    let mut timeline = Timeline::start();
    let image = read(request, observer)?;
    let builds = open_builds(&image, request, observer)?;
    timeline.mark("read image and programs");
    let subject = Subject::new(&image, &builds)?;
    let rewrite = subject.plan(request, observer)?;
    timeline.mark("plan");
    Ok(subject.told(request, rewrite, &timeline))
}

/// Opens an image that holds together and that has all its pages.
fn read(request: &ImagePair, observer: &mut dyn Observer) -> Result<ImageReader, UpdateError> {
    observer.step("read image");
    let image = open_image(&request.image)?;
    check_image(&image, &request.image)?;
    let in_place = |wanted: PageSource| {
        let extents = image.page_table().extents.iter();
        extents.filter(|extent| extent.source == wanted).map(|extent| extent.pages).sum::<u64>()
    };
    let parent = image.parent_identity().unwrap_or_default();
    let elsewhere = [
        (in_place(PageSource::Holder), "the memory of a live holder, as in the journal of an update".to_owned()),
        (in_place(PageSource::Parent), format!("its parent image {parent:08x}")),
    ];
    if let Some((pages, place)) = elsewhere.into_iter().find(|(pages, _)| *pages > 0) {
        return Err(UpdateError::PagesElsewhere { path: request.image.clone(), pages, place });
    }
    match image.work().iter().find_map(unfinished) {
        None => Ok(image),
        Some(what) => Err(UpdateError::Unfinished { path: request.image.clone(), what }),
    }
}

/// What the program that an image is of has to do before anything else is made of it. Selectors may go with their program.
fn unfinished(work: &VesselWork) -> Option<String> {
    if let Some(allocations) = work.allocations.as_ref() {
        return Some(match allocations.blocks.len() {
            1 => "1 object gets its place".to_owned(),
            blocks => format!("{blocks} objects get their places"),
        });
    }
    work.calls.first().map(|call| format!("`{}` is called", call.text))
}

fn open_builds(image: &ImageReader, request: &ImagePair, observer: &mut dyn Observer) -> Result<Builds, UpdateError> {
    observer.step("read programs");
    let mut search = DebugSearch::default();
    search.directories.extend_from_slice(&request.debug_directories);
    let running = program::find(&image.snapshot().manifest.program, request.old.as_deref(), &search)?;
    let builds = Builds::open(&running, &request.program, &search)?;
    let recorded = Path::new(std::ffi::OsStr::from_bytes(&image.snapshot().manifest.program.path));
    planner::check_guards(request.spec.as_ref(), &builds, recorded)?;
    Ok(builds)
}

/// An image with both builds and everything else that its plan reads.
struct Subject<'a> {
    image: &'a ImageReader,
    builds: &'a Builds,
    files: StoredFiles<'a>,
    vdso: Option<Vec<u8>>,
    warnings: Vec<String>,
}

impl<'a> Subject<'a> {
    fn new(image: &'a ImageReader, builds: &'a Builds) -> Result<Self, UpdateError> {
        let snapshot = image.snapshot();
        let (mut obstacles, later) = cold::obstacles_of_image(snapshot);
        obstacles.extend(capture::unrestartable(&snapshot.threads));
        let mut files = match StoredFiles::reopen(snapshot) {
            Ok(files) => files,
            Err(more) => {
                obstacles.extend(more);
                StoredFiles::default()
            }
        };
        if !obstacles.is_empty() {
            return Err(UpdateError::Blocked { blockers: Vec::new(), obstacles });
        }
        files.add_program(snapshot, &builds.old.elf.bytes);
        let mut warnings: Vec<String> = later.iter().map(|obstacle| format!("a restore will be refused: {obstacle}")).collect();
        let vdso = vdso_of(snapshot)?;
        if vdso.is_none() {
            warnings
                .push("the image is of another kernel: its vdso is not at hand here, and a restore takes that kernel".to_owned());
        }
        Ok(Self { image, builds, files, vdso, warnings })
    }

    fn plan(&self, request: &ImagePair, observer: &mut dyn Observer) -> Result<Rewrite, UpdateError> {
        let snapshot = self.image.snapshot();
        let builds = self.builds;
        if builds.are_same() {
            return Ok(plan::identity(snapshot));
        }
        observer.step("plan");
        let libraries = || Ok(Libraries::of_files(self.files.code(), self.vdso.as_deref()));
        let policy = Policy { strict: request.strict, complete: true };
        let told = Told { continuations: None, stacks: request.stacks.clone(), policy };
        let prepared = Prepared::new(builds, (request.spec.as_ref(), told), libraries)?;
        let memory = StoredMemory::new(self.image, &self.files, self.vdso.as_deref());
        Ok(prepared.plan(snapshot, &memory, builds)?)
    }

    fn told(self, request: &ImagePair, rewrite: Rewrite, timeline: &Timeline) -> ImagePlanned {
        let snapshot = self.image.snapshot();
        let (old, new) = self.builds.build_ids();
        ImagePlanned {
            image: request.image.clone(),
            old_build_id: old.to_vec(),
            new_build_id: new.to_vec(),
            selectors: rewrite.resolvers.len(),
            blocks: rewrite.allocations.blocks.len(),
            calls: rewrite.calls.len(),
            report: rewrite.report,
            threads: snapshot.threads.len(),
            descriptors: snapshot.descriptors.tables.first().map_or(0, |table| table.descriptors.len()),
            warnings: self.warnings,
            steps: timeline.steps().to_vec(),
        }
    }
}

/// The bytes of the image's vdso: this process's own, when both are of one kernel.
fn vdso_of(snapshot: &Snapshot) -> Result<Option<Vec<u8>>, UpdateError> {
    let (saved, here) = (&snapshot.manifest.host, this_host(snapshot)?);
    if (saved.vdso_crc, saved.vdso_len) != (here.vdso_crc, here.vdso_len) {
        return Ok(None);
    }
    let pid = std::process::id() as i32;
    Ok(libraries::vdso(pid, &read_mapping_lines(pid)?)?)
}
