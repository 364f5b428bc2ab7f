//! Choices that are none: all ways bring the same value.

use std::collections::HashMap;

use super::{Term, ValueId, Values};

impl Values<'_> {
    /// Finds choices that choose from one value only, alone or in rings that hand one value round (Braun and others, "Simple and
    /// Efficient Construction of Static Single Assignment Form", 2013, section 3.2).
    pub(super) fn settle_choices(&mut self) {
        if self.settled == self.choices.len() {
            return;
        }
        self.settled = self.choices.len();
        loop {
            let mut changed = false;
            let open: Vec<ValueId> = self.choices.keys().copied().filter(|choice| !self.same.contains_key(choice)).collect();
            for ring in self.rings(&open) {
                if let Some(only) = self.only_input(&ring) {
                    self.same.extend(ring.into_iter().map(|choice| (choice, only)));
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// The one value that comes into a ring of choices from outside.
    fn only_input(&self, ring: &[ValueId]) -> Option<ValueId> {
        let mut only = None;
        for input in ring.iter().flat_map(|choice| self.inputs(*choice)) {
            if ring.contains(&input) || only == Some(input) {
                continue;
            }
            if only.is_some() {
                return None;
            }
            only = Some(input);
        }
        only
    }

    /// Choices that choose from one another, each set once, inner ones first (Tarjan's strongly connected components).
    fn rings(&self, open: &[ValueId]) -> Vec<Vec<ValueId>> {
        let mut search =
            Search { values: self, order: HashMap::new(), low: HashMap::new(), stack: Vec::new(), found: Vec::new() };
        for choice in open {
            if !search.order.contains_key(choice) {
                search.visit(*choice);
            }
        }
        search.found
    }
}

struct Search<'s, 'g> {
    values: &'s Values<'g>,
    order: HashMap<ValueId, usize>,
    low: HashMap<ValueId, usize>,
    stack: Vec<ValueId>,
    found: Vec<Vec<ValueId>>,
}

impl Search<'_, '_> {
    /// Without recursion: functions may have thousands of choices in a row.
    fn visit(&mut self, from: ValueId) {
        let mut open: Vec<(ValueId, Vec<ValueId>)> = vec![(from, self.enter(from))];
        while let Some((choice, inputs)) = open.last_mut() {
            let choice = *choice;
            match inputs.pop() {
                Some(input) if !self.order.contains_key(&input) => {
                    let further = self.enter(input);
                    open.push((input, further));
                }
                Some(input) => {
                    if self.stack.contains(&input) {
                        let seen = self.order[&input];
                        self.lower(choice, seen);
                    }
                }
                None => {
                    open.pop();
                    let low = self.low[&choice];
                    if let Some((outer, _)) = open.last() {
                        let outer = *outer;
                        self.lower(outer, low);
                    }
                    if low == self.order[&choice] {
                        let start = self.stack.iter().rposition(|other| *other == choice).unwrap_or(0);
                        self.found.push(self.stack.split_off(start));
                    }
                }
            }
        }
    }

    fn enter(&mut self, choice: ValueId) -> Vec<ValueId> {
        let number = self.order.len();
        self.order.insert(choice, number);
        self.low.insert(choice, number);
        self.stack.push(choice);
        let inputs = self.values.inputs(choice);
        inputs.into_iter().filter(|input| matches!(self.values.node(*input), Term::Choice { .. })).collect()
    }

    fn lower(&mut self, choice: ValueId, to: usize) {
        if let Some(low) = self.low.get_mut(&choice) {
            *low = (*low).min(to);
        }
    }
}
