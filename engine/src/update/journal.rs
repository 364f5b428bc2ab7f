//! What a later engine needs to finish or take back a transaction whose engine died.
//!
//! Two files in the lock's directory: `old-START.dsu`, an image of the process whose pages are in the holder, and
//! `journal-START`, what the transaction made; START is the start time of the process, since its number alone may be another's later.
//! They need not survive the machine, only the engine, so nothing is synced. How far the transaction came is not in them: the
//! process itself shows it (`tracee::adopt`).

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use dsu_formats::address::{PAGE_SIZE, RunRange};
use dsu_formats::image::{ImageReader, ImageWriter};
use dsu_formats::journal;
use dsu_formats::model::latest::{Extent, JournalRecord, PageSource, Snapshot};

use super::error::UpdateError;

/// How the names of the record and of the image begin.
const RECORD: &str = "journal";
const IMAGE: &str = "old";

/// The journal of one process.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    image: PathBuf,
    /// Files for the image and for the record, made before there was anything to write.
    made: Option<(File, File)>,
}

impl Journal {
    /// The journal in `directory` of the process that started at `start_time` (clock ticks since boot), whether it exists or not.
    pub fn of_process(directory: &Path, start_time: u64) -> Self {
        let path = directory.join(format!("{RECORD}-{start_time}"));
        Self { path, image: directory.join(format!("{IMAGE}-{start_time}.dsu")), made: None }
    }

    /// Whether a file is one of this journal.
    pub(super) fn owns(&self, path: &Path) -> bool {
        path == self.path || path == self.image || path == self.unfinished()
    }

    /// Whether a file is, by its name, one of the journal of some process.
    pub(super) fn has_name_of_one(path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| [RECORD, IMAGE].iter().any(|begin| name.starts_with(begin)))
    }

    /// Makes the files, so that a stopped process need not wait for the file system of a busy machine. What another engine left
    /// is not touched: that is overwritten by a transaction only.
    pub fn make_files(&mut self) -> Result<(), UpdateError> {
        if self.path.exists() {
            return Ok(());
        }
        let image = create_private(&self.image).map_err(|error| self.failed("make", &self.image, Box::new(error)))?;
        let record = create_private(&self.unfinished()).map_err(|error| self.failed("make", &self.path, Box::new(error)))?;
        self.made = Some((image, record));
        Ok(())
    }

    /// Where the record is until it is whole.
    fn unfinished(&self) -> PathBuf {
        self.path.with_extension("new")
    }

    /// Writes the old image, its pages left in the holder.
    pub fn write_image(&self, snapshot: &Snapshot, own_pages: &[RunRange]) -> Result<(), UpdateError> {
        let failed = |source| self.failed("write", &self.image, source);
        let file = match &self.made {
            Some((image, _)) => image.try_clone(),
            None => create_private(&self.image),
        };
        let file = file.map_err(|error| failed(Box::new(error)))?;
        let mut writer = ImageWriter::to_file(file).map_err(|error| failed(Box::new(error)))?;
        for range in own_pages {
            let extent =
                Extent { address_space: 0, start: range.start, pages: range.len() / PAGE_SIZE, source: PageSource::Holder };
            writer.put_reference(extent).map_err(|error| failed(Box::new(error)))?;
        }
        writer.finish(snapshot).map(drop).map_err(|error| failed(Box::new(error)))
    }

    /// Notes what the transaction made; atomically, since the engine may die at any instant.
    pub fn write(&self, record: &JournalRecord) -> Result<(), UpdateError> {
        let failed = |source| self.failed("write", &self.path, source);
        let bytes = journal::encode(record).map_err(|error| failed(Box::new(error)))?;
        let file = match &self.made {
            Some((_, record)) => record.try_clone(),
            None => create_private(&self.unfinished()),
        };
        let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, &bytes));
        written.map_err(|error| failed(Box::new(error)))?;
        fs::rename(self.unfinished(), &self.path).map_err(|error| failed(Box::new(error)))
    }

    /// Reads the journal; `None` when there is none.
    pub fn read(&self) -> Result<Option<JournalRecord>, UpdateError> {
        let failed = |source| self.failed("read", &self.path, source);
        match fs::read(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(Box::new(error))),
            Ok(bytes) => journal::decode(&bytes).map(Some).map_err(|error| failed(Box::new(error))),
        }
    }

    /// Opens the old image.
    pub fn read_image(&self) -> Result<ImageReader, UpdateError> {
        ImageReader::open(&self.image).map_err(|error| self.failed("read", &self.image, Box::new(error)))
    }

    /// Removes the files: the transaction is over.
    pub fn remove(&self) {
        if self.made.is_some() {
            let _ = fs::remove_file(self.unfinished());
        }
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.image);
    }

    fn failed(&self, operation: &'static str, path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> UpdateError {
        UpdateError::Journal { operation, path: path.to_owned(), source }
    }
}

/// A process's secrets are in its registers: nobody else may read the files.
fn create_private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().create(true).truncate(true).read(true).write(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use dsu_formats::address::RunAddress;

    use super::*;

    fn record() -> JournalRecord {
        JournalRecord {
            pid: 4711,
            start_time: 99,
            holder: 4712,
            holder_start_time: 100,
            site: RunRange::new(0x1000_0000, 0x1004_0000),
            own_pages: vec![RunRange::new(0x5000, 0x7000)],
            guards: Vec::new(),
            shared_words: vec![(RunAddress(0x9000), 7)],
        }
    }

    #[test]
    fn what_is_written_is_read_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::of_process(directory.path(), 99);
        assert_eq!(journal.read().unwrap(), None);
        journal.write(&record()).unwrap();
        assert_eq!(journal.read().unwrap(), Some(record()));
        journal.remove();
        assert_eq!(journal.read().unwrap(), None);
    }

    #[test]
    fn a_journal_of_a_newer_dsu_is_refused_with_both_versions() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::of_process(directory.path(), 99);
        let mut bytes = journal::encode(&record()).unwrap();
        bytes[8] = 9;
        bytes[12] = 9;
        let end = bytes.len() - 4;
        let sum = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum.to_le_bytes());
        fs::write(directory.path().join("journal-99"), bytes).unwrap();
        let error = journal.read().unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("format version 9") && cause.contains("knows version 1"), "{cause}");
    }
}
