//! Tests of the image container: golden file, round trips, damage, verification, the writer's promises.

mod arbitrary;
mod damage;
mod descriptors;
mod fixture;
mod forge;
mod golden;
mod lineage;
#[path = "../../fuzz/src/mend.rs"]
mod mend;
mod round_trip;
mod verification;
mod work;
mod writing;
