//! Memory of another process, through `/proc/PID/mem` and `process_vm_readv`.

use dsu_formats::address::RunAddress;

use super::error::TraceeError;

/// Read and write access to the memory of one process.
#[derive(Debug)]
pub struct RemoteMemory {
    pid: i32,
    file: std::fs::File,
}

impl RemoteMemory {
    /// Opens the memory of `pid`, which must be traced by the caller.
    pub fn open(pid: i32) -> Result<Self, TraceeError> {
        let path = format!("/proc/{pid}/mem");
        let file =
            std::fs::File::options().read(true).write(true).open(&path).map_err(|source| TraceeError::Proc { path, source })?;
        Ok(Self { pid, file })
    }

    /// Fills `buffer` from `address` on, or fails.
    pub fn read(&self, address: RunAddress, buffer: &mut [u8]) -> Result<(), TraceeError> {
        use std::os::unix::fs::FileExt;
        self.file.read_exact_at(buffer, address.0).map_err(|source| self.failed("read", address, buffer.len(), source))
    }

    /// As [`RemoteMemory::read`], in one copy by the kernel where the pages' protection allows it.
    pub fn read_fast(&self, address: RunAddress, buffer: &mut [u8]) -> Result<(), TraceeError> {
        use nix::sys::uio::{RemoteIoVec, process_vm_readv};
        let remote = RemoteIoVec { base: address.0 as usize, len: buffer.len() };
        let pid = nix::unistd::Pid::from_raw(self.pid);
        let wanted = buffer.len();
        match process_vm_readv(pid, &mut [std::io::IoSliceMut::new(buffer)], &[remote]) {
            Ok(copied) if copied == wanted => Ok(()),
            _ => self.read(address, buffer),
        }
    }

    /// Writes all of `bytes` at `address`, whatever the protection of the pages, or fails.
    pub fn write(&self, address: RunAddress, bytes: &[u8]) -> Result<(), TraceeError> {
        use std::os::unix::fs::FileExt;
        self.file.write_all_at(bytes, address.0).map_err(|source| self.failed("write", address, bytes.len(), source))
    }

    /// Reads one little-endian word.
    pub fn read_u64(&self, address: RunAddress) -> Result<u64, TraceeError> {
        let mut word = [0; 8];
        self.read(address, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    /// The process whose memory this is.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    fn failed(&self, access: &'static str, address: RunAddress, length: usize, source: std::io::Error) -> TraceeError {
        TraceeError::Memory { access, address, length, pid: self.pid, source }
    }
}
