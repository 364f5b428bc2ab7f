//! The finished rewrite: the new address space, its bytes, and what is left of the old one.

use std::collections::{HashMap, HashSet};

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{Generation, Retained};

use super::Planner;
use super::ground::Ground;
use crate::plan::blocker::{Blocker, PlanError};
use crate::plan::calls;
use crate::plan::compare::objects::Place;
use crate::plan::generations;
use crate::plan::loader::auxv;
use crate::plan::mappings;
use crate::plan::rewrite::{Contents, Resolver, Rewrite};
use crate::plan::source::read_bytes;
impl Planner<'_> {
    /// The finished rewrite, unless something is in the way.
    pub(super) fn finish(mut self) -> Result<Rewrite, PlanError> {
        if !self.blockers.is_empty() {
            return Err(PlanError::Blocked(self.blockers));
        }
        let placement = self.ground.placement;
        self.tell_generation();
        let lifted = placement.lifted();
        let mut contents = self.image.contents(placement.new_bias());
        let mut kept = mappings::pages(std::mem::take(&mut self.kept));
        for range in &mut kept {
            let bytes = read_bytes(self.request.memory, range.start, range.len() as usize)?;
            *range = RunRange::new(range.start.0.saturating_add(lifted), range.end.0.saturating_add(lifted));
            contents.push(Contents { address: range.start, bytes });
        }
        let dropped = self.address_space(&kept);
        let generation = self.generation(&kept);
        contents.push(self.annex(&generation)?);
        let bound = &self.request.comparison.bound;
        let (mut calls, texts) = calls::placed(&bound.calls, &placement, self.ground.texts(&bound.calls));
        calls.extend(self.frame_calls());
        contents.extend(texts);
        contents.sort_unstable_by_key(|part| part.address);
        self.report.retained_bytes =
            generation.retained.iter().filter(|retained| retained.readable).map(|retained| retained.range.len()).sum();
        self.report.assumptions = crate::plan::assumptions();
        if placement.is_fixed() {
            self.report.assumptions.extend(crate::plan::assumptions_of_fixed());
        }
        let put_right = bound.keyed.iter().filter_map(|keyed| Some((&keyed.name, &bound.calls.get(keyed.call)?.text)));
        let put_right =
            put_right.map(|(name, call)| format!("`{call}` puts right whatever `{name}` made of addresses that move"));
        self.report.assumptions.extend(put_right);
        let types = &self.request.old.debug.types;
        let mut own: Vec<String> = bound.rules.allocators.keys().map(|kind| types.describe(Some(*kind))).collect();
        own.sort_unstable();
        own.dedup();
        let own =
            own.iter().map(|kind| format!("every `{kind}` that is in no variable was made by its function in [allocators]"));
        self.report.assumptions.extend(own);
        self.snapshot.generations = vec![generation];
        self.modules();
        let mut patches = self.patches;
        patches.sort_unstable_by_key(|patch| patch.address);
        patches.dedup_by_key(|patch| patch.address);
        let resolvers: Vec<Resolver> = std::mem::take(&mut self.ground.linked.resolvers);
        let protect_after = mappings::relro(&self.request.new.elf, placement.new_bias()).into_iter().collect();
        let (shared, allocations) = (self.shared, self.allocations);
        let (snapshot, report) = (self.snapshot, self.report);
        Ok(Rewrite { snapshot, patches, shared, contents, dropped, resolvers, allocations, calls, protect_after, report })
    }

    /// Lays out the new address space; gives the ranges of the old one that go.
    fn address_space(&mut self, kept: &[RunRange]) -> Vec<RunRange> {
        let (placement, annex) = (self.ground.placement, self.ground.annex);
        let texts = self.ground.texts(&self.request.comparison.bound.calls);
        let mut dropped = vec![placement.old_range()];
        if !annex.is_empty() {
            dropped.push(annex);
        }
        let earlier = self.request.snapshot.generations.first().map_or(&[][..], |generation| &generation.retained);
        let used: HashSet<RunRange> = self.literals.iter().filter(|literal| literal.used).map(|literal| literal.range).collect();
        dropped.extend(earlier.iter().map(|retained| retained.range).filter(|range| !used.contains(range)));
        let dropped = mappings::pages(dropped);
        let new = &self.request.new.elf;
        let Some(space) = self.snapshot.address_spaces.first_mut() else { return dropped };
        space.mappings = mappings::without(&space.mappings, &dropped);
        space.mappings.extend(kept.iter().map(|range| mappings::anonymous(*range, mappings::READ)));
        space.mappings.extend(self.ground.reservations(kept).into_iter().map(mappings::reserved));
        space.mappings.extend(mappings::segments(new, placement.new_bias(), self.request.file));
        space.mappings.push(mappings::anonymous(placement.annex(), mappings::READ));
        space.mappings.extend((!texts.is_empty()).then(|| mappings::anonymous(texts, mappings::READ)));
        space.mappings.sort_unstable_by_key(|mapping| mapping.range);
        let [start_code, end_code, start_data, end_data] = mappings::code_and_data(new, placement.new_bias());
        let layout = &mut space.layout;
        (layout.start_code, layout.end_code, layout.start_data, layout.end_data) = (start_code, end_code, start_data, end_data);
        layout.auxv = auxv::rewritten(&layout.auxv, new, placement.new_bias());
        layout.exe.clone_from(&self.request.file.path);
        dropped
    }

    /// A program that defines `int dsu_generation` finds in it how many times it has been updated.
    fn tell_generation(&mut self) {
        const NAME: &str = "dsu_generation";
        let before = self.request.snapshot.generations.first().map_or(0, |generation| generation.count);
        let objects = self.request.comparison.sides.new.objects.list().iter();
        for object in objects.filter(|object| object.identity.name == NAME) {
            let place = self.image.slice_mut(object.start, 4).filter(|_| object.size == 4 && object.place == Place::Writable);
            match place {
                Some(place) => place.copy_from_slice(&((before + 1) as u32).to_le_bytes()),
                None => self.report.warnings.push(format!("`{NAME}` is not a writable int: the number of updates is not stored")),
            }
        }
    }

    fn generation(&self, kept: &[RunRange]) -> Generation {
        let before = self.request.snapshot.generations.first().cloned().unwrap_or_default();
        let build_id = self.request.old.elf.build_id.clone().unwrap_or_default();
        let used: HashMap<RunRange, bool> = self.literals.iter().map(|literal| (literal.range, literal.used)).collect();
        let mut retained: Vec<Retained> = before
            .retained
            .into_iter()
            .filter(|retained| retained.readable && used.get(&retained.range) == Some(&true))
            .collect();
        let mut add = |range: &RunRange, readable| {
            retained.push(Retained { range: *range, generation: before.count, build_id: build_id.clone(), readable });
        };
        kept.iter().for_each(|range| add(range, true));
        self.ground.reservations(kept).iter().for_each(|range| add(range, false));
        let texts = self.ground.texts(&self.request.comparison.bound.calls);
        if !texts.is_empty() {
            // For the updates to come they are literals of the program that they were given to.
            let build_id = self.request.new.elf.build_id.clone().unwrap_or_default();
            retained.push(Retained { range: texts, generation: before.count + 1, build_id, readable: true });
        }
        retained.sort_unstable_by_key(|retained| retained.range);
        Generation { count: before.count + 1, retained }
    }

    fn annex(&self, generation: &Generation) -> Result<Contents, PlanError> {
        let annex = self.ground.placement.annex();
        let full = |error: generations::RecordError| {
            let what = "what earlier updates retained".to_owned();
            let expected = "a record that fits".to_owned();
            PlanError::Blocked(vec![Blocker::Unsupported { what, expected, found: error.to_string() }])
        };
        let mut bytes = generations::encode(generation, annex.len()).map_err(full)?;
        bytes.resize(generations::RECORD_ROOM as usize, 0);
        bytes.extend(self.ground.versions.bytes(self.ground.placement.new_bias()));
        bytes.resize(annex.len() as usize, 0);
        Ok(Contents { address: annex.start, bytes })
    }

    fn modules(&mut self) {
        let placement = self.ground.placement;
        let file = self.request.file;
        if let Some(module) = self.snapshot.modules.iter_mut().find(|module| module.address_space == 0) {
            module.path.clone_from(&file.path);
            module.build_id.clone_from(&file.build_id);
            module.bias = RunAddress(placement.new_bias());
            module.range = placement.new_range();
        }
        self.snapshot.manifest.program = file.clone();
    }
}

impl Ground<'_> {
    /// What stays reserved of the old program's range for one generation.
    fn reservations(&self, kept: &[RunRange]) -> Vec<RunRange> {
        let old = self.placement.old_range();
        if self.placement.is_fixed() {
            return old.without(&[self.placement.new_range()]);
        }
        let whole = RunRange { start: old.start, end: old.end.max(self.annex.end) };
        whole.without(kept)
    }
}
