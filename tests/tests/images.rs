//! Images that are rewritten: what is left to the restore, what is refused and leaves no file, what the commands say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dsu_engine::plan;
use dsu_engine::plan::rewrite::{Allocations, Allocator};
use dsu_engine::plan::source::{MemorySource, read_word};
use dsu_engine::program::build::Library;
use dsu_engine::update::stored::files::StoredFiles;
use dsu_engine::update::stored::memory::StoredMemory;
use dsu_engine::update::stored::rewritten::Rewritten;
use dsu_formats::address::RunAddress;
use dsu_formats::image::{ImageReader, ImageWriter, PageBytes};
use dsu_formats::model::latest::{Backing, Extent, Module, PageSource};
use dsu_tests::build::{self, Style, Version};
use dsu_tests::catalogue::{IDLE, Program, find};
use dsu_tests::dsu::{Outcome, Run, code};
use dsu_tests::target::{Event, Target};
use nix::sys::signal::{Signal, kill};

/// A program that was written to an image and killed.
struct Saved {
    target: Target,
    image: PathBuf,
}

impl Saved {
    fn new(program: &Program, executable: &Path) -> Self {
        let mut target = Target::start(program, executable);
        assert_eq!(target.event(), Event::Ready);
        let image = target.path("image");
        Run::checkpoint_and_kill(target.pid(), &image).run().assert_code(code::DONE, "checkpoint");
        assert_eq!(target.await_end(), "killed by SIGKILL");
        Self { target, image }
    }

    fn of(name: &str) -> Self {
        let program = find(name);
        Self::new(&program, &build::program(&program, Version::One, Style::USUAL))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.target.path(name)
    }

    /// Rewrites the image with `options`; what was at the output before must still be there if that is refused.
    fn transform(&self, program: &Path, options: &[(&str, &Path)]) -> Outcome {
        let output = self.path("rewritten");
        fs::write(&output, "what was there before").expect("a file");
        let run = Run::transform(&self.image, program, &output);
        let outcome = options.iter().fold(run, |run, (name, value)| run.option(name, value)).run();
        let is_untouched = fs::read(&output).is_ok_and(|bytes| bytes == b"what was there before");
        assert_eq!(is_untouched, outcome.code != Some(code::DONE), "{}", outcome.text());
        let left = fs::read_dir(output.parent().expect("a directory")).expect("its entries").flatten();
        let names: Vec<_> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert!(!names.iter().any(|name| name.starts_with(".dsu-image-")), "a temporary file is left: {names:?}");
        outcome
    }

    fn refuse(&self, program: &Path, options: &[(&str, &Path)], expected: i32, words: &[&str]) {
        let outcome = self.transform(program, options);
        outcome.assert_code(expected, "a refusal");
        for word in words {
            assert!(outcome.text().contains(word), "the refusal does not say {word:?}:\n{}", outcome.text());
        }
    }

    /// Restores `image`, whose program must run as version `number`, and lets it check itself.
    fn go_on(mut self, image: &Path, number: u32) {
        Run::new("verify").argument(image).run().assert_code(code::DONE, "verify");
        Run::restore(image).run().assert_code(code::DONE, "restore");
        let mut event = Event::Ready;
        // Some wait more than once.
        while event == Event::Ready {
            self.target.go(number);
            event = self.target.event();
        }
        assert_eq!(event, Event::Right, "{}", self.target.log());
        self.target.finish();
    }
}

fn version_two(name: &str) -> PathBuf {
    build::program(&find(name), Version::Two, Style::USUAL)
}

fn json(outcome: &Outcome) -> serde_json::Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.text()))
}

/// Module `name` and its file, by which symbols are found in an image.
fn module<'a>(image: &'a ImageReader, name: &str) -> (&'a Module, Library) {
    use std::os::unix::ffi::OsStrExt;
    let modules = &image.snapshot().modules;
    let found = modules.iter().find(|module| String::from_utf8_lossy(&module.path).contains(name)).expect("the module");
    let path = Path::new(std::ffi::OsStr::from_bytes(&found.path));
    (found, Library::open(path).expect("its file"))
}

fn address(image: &ImageReader, module_name: &str, symbol: &str) -> RunAddress {
    let (module, library) = module(image, module_name);
    let found = library.elf.symbols_named(symbol).next().map(|symbol| symbol.address);
    let dynamic = || library.elf.dynamic_symbols.iter().find(|found| found.name == symbol).map(|found| found.address);
    let link = found.or_else(dynamic).unwrap_or_else(|| panic!("no {symbol} in {module_name}"));
    RunAddress(module.bias.0.wrapping_add(link.0))
}

/// What a plan asks for when an object outgrew its block, done by the restore: the program's own `malloc` and `free` run there.
#[test]
fn blocks_that_outgrew_their_places_are_made_by_the_restore() {
    let saved = Saved::of("grown_block");
    let image = ImageReader::open(&saved.image).expect("the image");
    let files = StoredFiles::reopen(image.snapshot()).expect("the same files");
    let memory = StoredMemory::new(&image, &files, None);
    let (item, holder) = (address(&image, "grown_block", "item"), address(&image, "grown_block", "holder"));
    let word = |address| read_word(&memory, address).expect("stored memory");
    let old = RunAddress(word(item));
    let held = RunAddress(word(holder));
    assert_eq!((word(old), word(held)), (7, old.0));

    let mut rewrite = plan::identity(image.snapshot());
    let mut bytes = vec![0; 96];
    bytes[0] = 8;
    bytes[8..13].copy_from_slice(b"large");
    bytes[24..32].copy_from_slice(&Allocations::PLACE_HOLDERS.to_le_bytes());
    bytes[95] = b'z';
    let allocations = &mut rewrite.allocations;
    let block = allocations.add(&bytes);
    assert_eq!(block.0, Allocations::PLACE_HOLDERS);
    let libc = |symbol| address(&image, "libc.so.6", symbol);
    allocations.allocator = Some(Allocator { allocate: libc("malloc"), release: libc("free") });
    allocations.fixups = vec![item, held, RunAddress(block.0 + 24)];
    allocations.freed = vec![old];
    rewrite.patches = [item, held].map(|address| plan::rewrite::Patch { address, word: block.0 }).to_vec();
    rewrite.patches.sort_unstable_by_key(|patch| patch.address);
    let output = saved.path("grown");
    Rewritten { image: &image, rewrite: &rewrite, files: &files, build_ids: (&[1], &[2]) }.write(&output).expect("an image");

    let inspected = Run::new("inspect").argument(&output).run();
    for fact in ["vessel-work", "1 block, 96 bytes, by ", "words to fix up", "3\n", "1 block, by ", "plan report"] {
        assert!(inspected.stdout.contains(fact), "`{fact}` is not in: {}", inspected.stdout);
    }
    let again = Run::transform(&output, &version_two("grown_block"), &saved.path("again")).run();
    again.assert_code(code::FAILED, "objects without a place");
    assert!(again.text().contains("is finished only by its restore, when 1 object gets its place"), "{}", again.text());
    saved.go_on(&output, 1);
}

#[test]
fn a_selector_that_changed_runs_at_the_restore() {
    let saved = Saved::of("ifunc_changed");
    let output = saved.path("new");
    let outcome = Run::transform(&saved.image, &version_two("ifunc_changed"), &output).argument(Path::new("--json")).run();
    outcome.assert_code(code::DONE, "transform");
    assert_eq!(json(&outcome)["left_to_restore"]["selectors"], 1, "{}", outcome.text());
    let image = ImageReader::open(&output).expect("the image");
    let resolver = &image.work()[0].resolvers[0];
    assert_eq!(resolver.function, address(&image, "ifunc_changed", "resolve"));
    // Until it has run, nothing can be learnt from its slots.
    let files = StoredFiles::reopen(image.snapshot()).expect("the same files");
    let memory = StoredMemory::new(&image, &files, None);
    assert!(!resolver.slots.is_empty(), "{resolver:?}");
    for (slot, _) in &resolver.slots {
        assert_eq!(read_word(&memory, *slot).expect("stored memory"), 0);
        let mut across = [1; 4];
        memory.read(RunAddress(slot.0 + 6), &mut across).expect("stored memory");
        assert_eq!(across[..2], [0, 0]);
    }
    saved.go_on(&output, 2);
}

#[test]
fn a_blocked_plan_writes_nothing_and_the_old_image_still_restores() {
    let saved = Saved::of("changed_active");
    let before = fs::read(&saved.image).expect("the image");
    let new = version_two("changed_active");
    saved.refuse(&new, &[], code::BLOCKED, &["wait_in_changed_function", "another checkpoint", "Nothing was changed"]);
    let outcome = Run::transform(&saved.image, &new, &saved.path("never")).argument(Path::new("--json")).run();
    assert!(!saved.path("never").exists());
    let blocked = json(&outcome);
    assert_eq!((&blocked["result"], &blocked["exit"]), (&"blocked".into(), &3.into()));
    assert!(!blocked["blockers"].as_array().expect("a list").is_empty(), "{blocked}");
    assert_eq!(fs::read(&saved.image).expect("the image"), before);
    let image = saved.image.clone();
    saved.go_on(&image, 1);
}

#[test]
fn wrong_programs_are_refused() {
    let saved = Saved::new(&IDLE, &build::program(&IDLE, Version::One, Style::USUAL));
    let idle = |flags: &[&str]| build::with_flags(&IDLE, Version::Two, Style::USUAL, flags);
    let other = build::by_hand("other_program", "other_program.c", &["-g", "-O2", "-fPIE", "-pie"]);
    saved.refuse(&other, &[], code::BLOCKED, &[]);
    saved.refuse(&idle(&["-s"]), &[], code::FAILED, &["no debug information"]);
    saved.refuse(&idle(&["-no-pie", "-fno-pie"]), &[], code::BLOCKED, &["position-independent"]);
    saved.refuse(&idle(&["-Wl,--no-as-needed", "-lm"]), &[], code::BLOCKED, &["libm"]);
    saved.refuse(&saved.image, &[], code::FAILED, &["not an ELF file"]);
    saved.refuse(Path::new("/nonexistent/new"), &[], code::FAILED, &["No such file"]);
    let image = saved.image.clone();
    saved.go_on(&image, 1);
}

#[test]
fn damaged_images_are_refused() {
    let saved = Saved::new(&IDLE, &build::program(&IDLE, Version::One, Style::USUAL));
    let new = build::program(&IDLE, Version::Two, Style::USUAL);
    let right = fs::read(&saved.image).expect("the image");
    let image = saved.image.clone();
    let refuse = |bytes: &[u8], words: &[&str]| {
        fs::write(&image, bytes).expect("a damaged image");
        saved.refuse(&new, &[], code::FAILED, words);
        let plan = Run::new("plan").option("--image", &image).option("--program", &new).run();
        plan.assert_code(code::FAILED, "plan of a damaged image");
    };
    refuse(&right[..right.len() - 1], &["truncated"]);
    refuse(b"no image", &["not a dsu image"]);
    let flipped = |at: usize| {
        let mut bytes = right.clone();
        bytes[at] ^= 1;
        bytes
    };
    // In a page, which is read only because of the plan; in a section; in the table.
    refuse(&flipped(5000), &["page-store", "checksum"]);
    refuse(&flipped(right.len() - 2000), &["checksum"]);
    refuse(&flipped(right.len() - 20), &["section table"]);
    fs::write(&image, &right).expect("the right image");
    saved.go_on(&image, 1);
}

/// Writes the pages of `image` again, the first extent as one that is elsewhere.
fn with_pages_elsewhere(image: &ImageReader, output: &Path) {
    let mut writer = ImageWriter::create(output).expect("a file");
    for (number, run) in image.pages().runs().enumerate() {
        let run = run.expect("right pages");
        let extent = |source| Extent { address_space: 0, start: run.range.start, pages: run.range.len() / 4096, source };
        match run.bytes {
            _ if number == 0 => writer.put_reference(extent(PageSource::Holder)),
            PageBytes::Stored(bytes) => writer.put_pages(0, run.range.start, bytes),
            _ => writer.put_reference(extent(PageSource::Zero)),
        }
        .expect("pages");
    }
    writer.finish(image.snapshot()).expect("an image");
}

#[test]
fn an_image_whose_pages_are_in_a_holder_is_refused_by_name() {
    let mut saved = Saved::new(&IDLE, &build::program(&IDLE, Version::One, Style::USUAL));
    let whole = std::mem::replace(&mut saved.image, saved.target.path("in-holder"));
    with_pages_elsewhere(&ImageReader::open(&whole).expect("the image"), &saved.image);
    let new = build::program(&IDLE, Version::Two, Style::USUAL);
    saved.refuse(&new, &[], code::FAILED, &["in-holder", "live holder", "hint: take a checkpoint"]);
    saved.go_on(&whole, 1);
}

/// A package replaces the program in its place: the image's own build is somewhere else, or nowhere.
#[test]
fn the_old_build_may_be_named() {
    let program = find("retained_literals");
    let directory = tempfile::TempDir::new().expect("a directory");
    let [installed, kept] = ["program", "kept"].map(|name| directory.path().join(name));
    let [old, new] = [Version::One, Version::Two].map(|version| build::program(&program, version, Style::USUAL));
    fs::copy(&old, &installed).expect("a copy");
    let saved = Saved::new(&program, &installed);
    fs::rename(&installed, &kept).expect("the old build is kept");
    saved.refuse(&new, &[], code::FAILED, &["is not to be found", "No such file", "--old FILE"]);
    fs::copy(&new, &installed).expect("the new build in its place");
    saved.refuse(&installed, &[], code::FAILED, &["another build: expected build-id", "--old FILE"]);
    saved.refuse(&installed, &[("--old", &new)], code::FAILED, &["another build: expected build-id"]);
    let outcome = saved.transform(&installed, &[("--old", &kept)]);
    outcome.assert_code(code::DONE, "transform with the old build named");
    // Neither the old image nor the old build are needed any more.
    fs::remove_file(&kept).expect("the old build");
    fs::remove_file(&saved.image).expect("the old image");
    let output = saved.path("rewritten");
    saved.go_on(&output, 2);
}

#[test]
fn the_old_build_is_found_by_its_build_id() {
    let program = find("globals_move");
    let directory = tempfile::TempDir::new().expect("a directory");
    let installed = directory.path().join("program");
    let [old, new] = [Version::One, Version::Two].map(|version| build::program(&program, version, Style::USUAL));
    fs::copy(&old, &installed).expect("a copy");
    let saved = Saved::new(&program, &installed);
    fs::remove_file(&installed).expect("the program is gone");
    let image = ImageReader::open(&saved.image).expect("the image");
    let id = image.snapshot().manifest.program.build_id.clone().expect("a build-id");
    let name: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let links = directory.path().join(".build-id").join(&name[..2]);
    fs::create_dir_all(&links).expect("a directory");
    std::os::unix::fs::symlink(&old, links.join(&name[2..])).expect("a link");
    let outcome = saved.transform(&new, &[("--debug-dir", directory.path())]);
    outcome.assert_code(code::DONE, "transform with the old build found by its build-id");
    let output = saved.path("rewritten");
    saved.go_on(&output, 2);
}

#[test]
fn debugging_information_of_both_builds_may_be_in_other_files() {
    let program = find("globals_move");
    let directory = tempfile::TempDir::new().expect("a directory");
    let [old, new] = [(Version::One, "old"), (Version::Two, "new")].map(|(version, name)| {
        let [stripped, debug] = [name.to_owned(), format!("{name}.debug")].map(|name| directory.path().join(name));
        let objcopy = |options: &[&str], from: &Path, to: &Path| {
            let status = Command::new("objcopy").args(options).arg(from).arg(to).current_dir(directory.path()).status();
            assert!(status.expect("objcopy runs").success());
        };
        let whole = build::program(&program, version, Style::USUAL);
        objcopy(&["--only-keep-debug"], &whole, &debug);
        objcopy(&["--strip-debug", &format!("--add-gnu-debuglink={name}.debug")], &whole, &stripped);
        stripped
    });
    let saved = Saved::new(&program, &old);
    saved.transform(&new, &[]).assert_code(code::DONE, "transform with debuglinks");
    let output = saved.path("rewritten");
    saved.go_on(&output, 2);
}

#[test]
fn plans_and_rewritten_images_are_told_to_programs() {
    let saved = Saved::of("retained_literals");
    let new = version_two("retained_literals");
    let before = fs::read(&saved.image).expect("the image");
    let plan = || Run::new("plan").option("--image", &saved.image).option("--program", &new);
    let human = plan().run();
    human.assert_code(code::DONE, "plan");
    assert!(human.stdout.contains("can be rewritten") && human.stdout.contains("assumed: "), "{}", human.text());
    let planned = json(&plan().argument(Path::new("--json")).run());
    assert_eq!((&planned["result"], &planned["exit"]), (&"planned".into(), &0.into()));
    assert!(planned["report"]["words_rewritten"].as_u64().is_some_and(|words| words > 0), "{planned}");
    assert!(planned.get("pause_ms").is_none() && planned.get("pid").is_none(), "{planned}");
    assert_eq!(fs::read(&saved.image).expect("the image"), before, "a plan changes nothing");

    let output = saved.path("new");
    let run = Run::transform(&saved.image, &new, &output).argument(Path::new("--json")).run();
    run.assert_code(code::DONE, "transform");
    let transformed = json(&run);
    assert_eq!(transformed["result"], "transformed");
    assert_eq!(transformed["report"], planned["report"]);
    let inspected = json(&Run::new("inspect").argument(&output).argument(Path::new("--json")).run());
    assert_eq!(inspected["header"]["identity"], transformed["image"]["identity"]);
    assert_eq!(inspected["plan_report"], transformed["report"]);
    let lineage = &inspected["manifest"]["lineage"];
    assert_eq!(format!("{:08x}", lineage["parent"].as_u64().expect("a number")), transformed["parent"]["identity"]);
    assert_eq!(lineage["old_build_id"], transformed["old_build_id"]);
    assert_eq!(lineage["new_build_id"], transformed["new_build_id"]);
    assert_eq!(inspected["generations"][0]["count"], 1);
    let verified = json(&Run::new("verify").argument(&output).argument(Path::new("--json")).run());
    assert!(verified["parent_not_checked"].is_null(), "the new image is complete in itself: {verified}");

    let same = json(&Run::transform(&output, &new, &saved.path("again")).argument(Path::new("--json")).run());
    assert_eq!((&same["result"], &same["exit"]), (&"up-to-date".into(), &0.into()));
    assert!(!saved.path("again").exists());
    saved.go_on(&output, 2);
}

/// Every byte that a planner may ask for: stored pages, files below mappings, untouched memory, one object under several mappings.
#[test]
fn the_memory_of_an_image_reads_as_that_of_the_process() {
    use std::os::unix::fs::FileExt;
    for name in ["memfd_mapped", "dlopen_lazy", "shared_file", "guard_pages", "thread_specific", "memory_large"] {
        let program = find(name);
        let mut target = Target::start(&program, &build::program(&program, Version::One, Style::USUAL));
        assert_eq!(target.event(), Event::Ready, "{name}");
        let path = target.path("image");
        let run = Run::new("checkpoint").pid(target.pid()).option("--output", &path).option("--then", Path::new("stop"));
        run.run().assert_code(code::DONE, name);
        let live = fs::File::open(format!("/proc/{}/mem", target.pid())).expect("its memory");
        let image = ImageReader::open(&path).expect("the image");
        let snapshot = image.snapshot();
        let mut files = StoredFiles::reopen(snapshot).expect("the same files");
        let old = std::sync::Arc::from(fs::read(build::program(&program, Version::One, Style::USUAL)).expect("the program"));
        files.add_program(snapshot, &old);
        let memory = StoredMemory::new(&image, &files, None);
        let mut compared = 0;
        for mapping in &snapshot.address_spaces[0].mappings {
            if !matches!(mapping.backing, Backing::Anonymous { .. } | Backing::File { .. } | Backing::SharedAnonymous { .. }) {
                continue;
            }
            // Starts and lengths that are no pages, too.
            let (start, length) = (mapping.range.start.0 + 3, (mapping.range.len() - 5).min(1 << 20) as usize);
            let [mut expected, mut found] = [vec![0; length], vec![0; length]];
            if live.read_exact_at(&mut expected, start).is_ok() {
                memory.read(RunAddress(start), &mut found).unwrap_or_else(|error| panic!("{name}: {error}"));
                // The kernel writes there whenever a thread has been moved to another processor (`kernel/rseq.c`).
                for rseq in snapshot.threads.iter().filter_map(|thread| thread.rseq) {
                    for address in rseq.address.0..rseq.address.0 + u64::from(rseq.length) {
                        let at = address.checked_sub(start).map_or(length, |at| at as usize);
                        if at < length {
                            found[at] = expected[at];
                        }
                    }
                }
                let differs = expected.iter().zip(&found).position(|(a, b)| a != b);
                assert_eq!(differs, None, "{name}: mapping {mapping:?}");
                compared += 1;
            }
        }
        assert!(compared > 15, "{name}: {compared} mappings compared");
        kill(target.pid(), Signal::SIGCONT).expect("SIGCONT");
        target.go(1);
        assert_eq!(target.event(), Event::Right, "{name}: {}", target.log());
        target.finish();
    }
}
