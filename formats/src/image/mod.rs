//! The container of an image: header, section table, sections, page store.
