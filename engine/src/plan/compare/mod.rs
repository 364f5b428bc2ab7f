//! What differs between two builds: made before the process is stopped.

pub mod code;
pub mod constructors;
pub mod content;
pub mod data;
pub mod functions;
pub mod kinds;
pub mod layout;
pub mod numbers;
pub mod objects;
pub mod pairs;
pub mod rows;
pub mod sides;
pub mod strings;
pub mod units;
pub mod unset;

use std::collections::HashSet;
use std::sync::Arc;

use dsu_formats::spec::{Spec, SpecError};

use super::blocker::Blocker;
use super::frames::{Coded, Points, Prepared};
use super::link::symbols::DynamicIndex;
use super::restart;
use super::rewrite::Report;
use super::spec::accepted::Accepted;
use super::spec::{self, Bound, pairing};
use super::view::{CodeFacts, View};
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::code::CodeImage;
use crate::program::unwind::UnwindIndex;
use data::DataChanges;
use layout::LayoutChange;
use pairs::Partner;
use sides::Sides;

/// Everything about an old and a new build that no process is needed for.
#[derive(Debug)]
pub struct Comparison {
    /// Names and pairs.
    pub sides: Sides,
    /// What the machine code says.
    pub code: CodeFacts,
    /// For each variable of the old build how its type changes; `None` where it does not, or there is no partner.
    pub layouts: Vec<Option<LayoutChange>>,
    /// The same for thread-local variables.
    pub local_layouts: Vec<Option<LayoutChange>>,
    /// For each variable of the old build whether its partner is initialised alike.
    pub same_initialiser: Vec<bool>,
    /// Dynamic symbols of the old program.
    pub old_index: DynamicIndex,
    /// Dynamic symbols of the new program.
    pub new_index: DynamicIndex,
    /// How to unwind the old program.
    pub unwind: Arc<UnwindIndex>,
    /// How to unwind the new program.
    pub new_unwind: Arc<UnwindIndex>,
    /// What the user takes upon himself.
    pub accepted: Accepted,
    /// The rest of the user's answers.
    pub bound: Bound,
    /// How data changes.
    pub data: DataChanges,
    /// What the calls of changed functions are in the new build.
    pub points: Points,
    /// What the code of changed functions does.
    pub prepared: Prepared,
    /// Reasons against every update from the old to the new build.
    pub blockers: Vec<Blocker>,
}

/// How to unwind both programs.
struct Unwinds {
    old: Arc<UnwindIndex>,
    new: Arc<UnwindIndex>,
}

impl Unwinds {
    fn new(old: &Build, new: &Build) -> Self {
        Self { old: Arc::new(UnwindIndex::new(&old.elf)), new: Arc::new(UnwindIndex::new(&new.elf)) }
    }
}

impl Comparison {
    /// Compares two builds.
    pub fn new(old: &Build, new: &Build) -> Self {
        let mut sides = Sides::new(old, new);
        let (from, to) = code::read(old, new, &mut sides);
        let unwinds = Unwinds::new(old, new);
        let code = code::compare(Coded::new((old, &from), &unwinds.old), Coded::new((new, &to), &unwinds.new), &mut sides, &[]);
        let points = Points::new((old, &from), (new, &to), (&sides, &code.same), &[]);
        let mut comparison = Self::of((old, new), unwinds, sides, code, Accepted::default());
        comparison.follow((old, &from), (new, &to), points, &[]);
        comparison.data = comparison.data_changes(old, (new, &to));
        comparison
    }

    /// Compares two builds with the user's answers.
    ///
    /// # Errors
    /// Every name in the spec that means nothing in these builds, and every rule that does not fit their types; pairs first.
    pub fn answered(old: &Build, new: &Build, spec: &Spec) -> Result<Self, SpecError> {
        let mut sides = Sides::new(old, new);
        let (from, to) = code::read(old, new, &mut sides);
        let variables = pairing::pair_variables(spec, &mut sides);
        let given = pairing::given_functions(spec, &sides.old.functions, &sides.new.functions);
        let accepted = Accepted::bind(spec, old, &sides);
        let (given, accepted) = match (variables, given, accepted) {
            (Ok(()), Ok(given), Ok(accepted)) => (given, accepted),
            (variables, given, accepted) => {
                let problems = variables.err().into_iter().chain(given.err()).chain(accepted.err()).flatten();
                return Err(SpecError(problems.collect()));
            }
        };
        let unwinds = Unwinds::new(old, new);
        let code =
            code::compare(Coded::new((old, &from), &unwinds.old), Coded::new((new, &to), &unwinds.new), &mut sides, &given);
        let others = pairing::frame_pairs(spec, &sides);
        let points = Points::new((old, &from), (new, &to), (&sides, &code.same), &others);
        let mut comparison = Self::of((old, new), unwinds, sides, code, accepted);
        let left = pairing::left_functions(spec, &comparison.sides);
        comparison.follow((old, &from), (new, &to), points, &left);
        comparison.bound = spec::bind(spec, old, new, &comparison)?;
        spec::check_settings(spec, &comparison, &to)?;
        let coded = Coded { build: old, image: &from, unwind: &comparison.unwind };
        let coming = Coded { build: new, image: &to, unwind: &comparison.new_unwind };
        restart::find_start_up(&mut comparison.bound.restarts, &coming);
        restart::look_at(&mut comparison.bound.restarts, &coded, &comparison.code.calls);
        let keyed: HashSet<LinkAddress> = comparison.bound.keyed.iter().map(|keyed| keyed.function).collect();
        comparison.blockers.retain(|blocker| !matches!(blocker, Blocker::AddressAsNumber { entry, .. } if keyed.contains(entry)));
        comparison.data = comparison.data_changes(old, (new, &to));
        Ok(comparison)
    }

    /// Looks at what the code of changed functions does, and that of `left` of the old build.
    fn follow<'b>(
        &mut self,
        (old, from): (&'b Build, &CodeImage<'b>),
        (new, to): (&'b Build, &CodeImage<'b>),
        points: Points,
        left: &[usize],
    ) {
        let (mut olds, mut news): (Vec<usize>, Vec<usize>) = points.pairs().unzip();
        olds.extend(left);
        for list in [&mut olds, &mut news] {
            list.sort_unstable();
            list.dedup();
        }
        let changed: HashSet<usize> = olds.iter().copied().collect();
        let callers: Vec<usize> = self.code.calls.callers(&changed).filter(|caller| !changed.contains(caller)).collect();
        let from = Coded { build: old, image: from, unwind: &self.unwind };
        let to = Coded { build: new, image: to, unwind: &self.new_unwind };
        self.prepared = Prepared::new(&from, (&olds, &callers), &to, &news);
        self.points = points;
    }

    fn data_changes(&self, old: &Build, (new, code): (&Build, &CodeImage<'_>)) -> DataChanges {
        let changes = DataChanges::new((old, new), &self.sides, (&self.layouts, &self.local_layouts), &self.bound);
        let unset = unset::find(new, code, &self.sides, &changes, &self.bound);
        DataChanges { unset, ..changes }
    }

    fn of((old, new): (&Build, &Build), unwinds: Unwinds, sides: Sides, code: CodeFacts, accepted: Accepted) -> Self {
        let (layouts, local_layouts) = layout::layout_changes(old, new, &sides);
        let unknown = View { old, new, sides: &sides, code: &code, same_initialiser: &[] };
        let same_initialiser = same_initialisers(&unknown);
        let mut blockers = kinds::unsupported(old, new);
        blockers.extend(constructors::changed(&unknown, &accepted.constructors));
        blockers.extend(numbers::computed_addresses(old, &sides.old));
        Self {
            accepted,
            bound: Bound::default(),
            old_index: DynamicIndex::new(&old.elf),
            new_index: DynamicIndex::new(&new.elf),
            unwind: unwinds.old,
            new_unwind: unwinds.new,
            sides,
            code,
            layouts,
            local_layouts,
            same_initialiser,
            data: DataChanges::default(),
            points: Points::default(),
            prepared: Prepared::default(),
            blockers,
        }
    }

    /// Both builds with what is known of them.
    pub fn view<'a>(&'a self, old: &'a Build, new: &'a Build) -> View<'a> {
        View { old, new, sides: &self.sides, code: &self.code, same_initialiser: &self.same_initialiser }
    }

    /// Fills in which functions are changed, new and gone.
    pub fn report(&self, report: &mut Report) {
        let old = self.sides.old.functions.list();
        let named = |index: usize| old[index].identity.name.clone();
        let mut taken = vec![false; self.sides.new.functions.list().len()];
        for (index, partner) in self.sides.functions.iter().enumerate() {
            match partner {
                Partner::Gone => report.functions_removed.push(named(index)),
                Partner::One(partner) => {
                    taken[*partner] = true;
                    if !self.code.same[index] {
                        report.functions_changed.push(named(index));
                    }
                }
                Partner::Many(candidates) => {
                    candidates.iter().for_each(|index| taken[*index] = true);
                    report.functions_changed.push(named(index));
                }
            }
        }
        let new = self.sides.new.functions.list().iter().zip(taken);
        report.functions_added.extend(new.filter(|(_, taken)| !taken).map(|(code, _)| code.identity.name.clone()));
    }
}

fn same_initialisers(view: &View<'_>) -> Vec<bool> {
    let partners = view.sides.objects.iter().enumerate();
    partners.map(|(old, partner)| partner.one().is_some_and(|new| view.is_same_initialiser(old, new))).collect()
}
