//! temporary
use super::escape::Escapes;
use super::graph::{Exit, Graph, Unclear};
use super::values::Function;
use crate::program::address::LinkAddress;
use std::collections::BTreeMap;
/// t
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LivePlace {
    /// t
    Register(u8),
    /// t
    Vector(u8),
    /// t
    Flags,
    /// t
    Slot {
        /// t
        offset: i64,
        /// t
        length: u8,
    },
}
/// t
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveKind {
    /// t
    Plain,
    /// t
    Saved(u8),
}
/// t
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// t
    pub place: LivePlace,
    /// t
    pub bits: u64,
    /// t
    pub reader: LinkAddress,
    /// t
    pub kind: LiveKind,
}
/// t
#[derive(Debug)]
pub struct Liveness {
    before: Vec<BTreeMap<(u8, i64, u8), LinkAddress>>,
}
impl Liveness {
    /// t
    pub fn new(graph: &Graph, escapes: &Escapes) -> Result<Self, Unclear> {
        let n = graph.nodes().len();
        let mut before: Vec<BTreeMap<(u8, i64, u8), LinkAddress>> = vec![BTreeMap::new(); n];
        let f = Function { graph, escapes };
        let mut info = iced_x86::InstructionInfoFactory::new();
        let mut changed = true;
        while changed {
            changed = false;
            for at in (0..n).rev() {
                let node = &graph.nodes()[at];
                let mut live = BTreeMap::new();
                for next in &node.next {
                    for (k, v) in &before[*next as usize] {
                        live.entry(*k).or_insert(*v);
                    }
                }
                let i = node.instruction;
                let here = node.address();
                if node.call.is_some() {
                    for r in [0i64, 1, 2, 6, 7, 8, 9, 10, 11] {
                        live.remove(&(0, r, 8));
                    }
                    for r in 0..16 {
                        live.remove(&(1, r, 16));
                    }
                    live.remove(&(3, 0, 0));
                    for r in [7i64] {
                        live.insert((0, r, 8), here);
                    }
                    for (a, b) in &escapes.ranges {
                        let mut o = *a;
                        while o < *b {
                            live.insert((2, o, 8), here);
                            o += 8;
                        }
                    }
                } else {
                    let used = info.info(&i);
                    let frame = f.frame_operand(at as u32, &i);
                    use iced_x86::OpAccess as A;
                    for u in used.used_registers() {
                        let r = u.register();
                        let key = if r.is_gpr() {
                            (0, r.full_register().number() as i64, 8)
                        } else if r.is_vector_register() {
                            (1, r.number() as i64, 16)
                        } else {
                            continue;
                        };
                        if u.access() == A::Write && (!r.is_gpr() || r.size() >= 4) {
                            live.remove(&key);
                        }
                    }
                    if let Some((o, b)) = frame {
                        for u in used.used_memory() {
                            if u.access() == A::Write {
                                live.remove(&(2, o, b as u8));
                            }
                        }
                    }
                    for u in used.used_registers() {
                        let r = u.register();
                        if r.full_register() == iced_x86::Register::RSP {
                            continue;
                        }
                        let key = if r.is_gpr() {
                            (0, r.full_register().number() as i64, 8)
                        } else if r.is_vector_register() {
                            (1, r.number() as i64, 16)
                        } else {
                            continue;
                        };
                        if matches!(u.access(), A::Read | A::CondRead | A::ReadWrite | A::ReadCondWrite | A::CondWrite)
                            || (r.is_gpr() && r.size() < 4)
                        {
                            live.insert(key, here);
                        }
                    }
                    if let Some((o, b)) = frame {
                        for u in used.used_memory() {
                            if u.access() != A::Write {
                                live.insert((2, o, b as u8), here);
                            }
                        }
                    }
                    if i.mnemonic() == iced_x86::Mnemonic::Pop {
                        let r = i.op0_register().number() as i64;
                        live.remove(&(0, r, 8));
                    }
                }
                if node.exit == Some(Exit::Return) {
                    live.insert((0, 0, 8), here);
                }
                if live != before[at] {
                    before[at] = live;
                    changed = true;
                }
            }
        }
        Ok(Self { before })
    }
    /// t
    pub fn at(&self, node: u32) -> Vec<Live> {
        self.before[node as usize]
            .iter()
            .filter(|(k, _)| !(k.0 == 0 && k.1 == 5 && false))
            .filter(|(k, _)| !(k.0 == 0 && [0, 2, 4].contains(&k.1)) && !(k.0 == 1 && k.1 < 2))
            .map(|(k, v)| Live {
                place: match k.0 {
                    0 => LivePlace::Register(k.1 as u8),
                    1 => LivePlace::Vector(k.1 as u8),
                    2 => LivePlace::Slot { offset: k.1, length: k.2 },
                    _ => LivePlace::Flags,
                },
                bits: if k.0 == 2 && k.2 < 8 { (1 << (8 * k.2)) - 1 } else { u64::MAX },
                reader: *v,
                kind: LiveKind::Plain,
            })
            .collect()
    }
}
