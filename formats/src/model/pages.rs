//! Section `page table`: where the bytes of each touched private page are.

use serde::{Deserialize, Serialize};

use crate::address::RunAddress;

/// Extents of one image, by address space and ascending address, none overlapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageTableV1 {
    /// The extents. A page of a mapping that no extent covers is as a fresh mapping has it.
    pub extents: Vec<ExtentV1>,
}

/// A run of pages with one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtentV1 {
    /// Index of the address space.
    pub address_space: u32,
    /// First page.
    pub start: RunAddress,
    /// Number of pages.
    pub pages: u64,
    /// Where their bytes are.
    pub source: PageSourceV1,
}

/// Where the bytes of an extent are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PageSourceV1 {
    /// In this image's page store, from this page number on.
    Store {
        /// Index of the first page in the store.
        first_page: u64,
    },
    /// Touched, and zero.
    Zero,
    /// In the page table of the parent image, at the same addresses.
    Parent,
    /// In a live holder, at the same addresses.
    Holder,
}
