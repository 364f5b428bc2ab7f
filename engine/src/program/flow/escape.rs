//! temporary
use super::graph::{Graph, Unclear};
use super::stack::FrameValue;
/// t
#[derive(Debug, Default)]
pub struct Escapes {
    /// t
    pub ranges: Vec<(i64, i64)>,
}
impl Escapes {
    /// t
    pub fn is_escaped(&self, offset: i64, bytes: i64) -> bool {
        self.ranges.iter().any(|(a, b)| *a < offset + bytes && offset < *b)
    }
    /// t
    pub fn new(graph: &Graph, _: &crate::program::build::Build) -> Result<Self, Unclear> {
        let mut ranges = Vec::new();
        for (at, node) in graph.nodes().iter().enumerate() {
            let i = node.instruction;
            if i.mnemonic() == iced_x86::Mnemonic::Mov
                && i.op1_kind() == iced_x86::OpKind::Register
                && i.op1_register().is_gpr64()
                && !matches!(i.op0_register(), iced_x86::Register::RSP | iced_x86::Register::RBP)
            {
                if let FrameValue::At(k) = graph.stack().before(at as u32)[i.op1_register().number()] {
                    ranges.push((k, k + 16));
                }
            }
            if i.mnemonic() == iced_x86::Mnemonic::Lea
                && i.op0_register() != iced_x86::Register::RSP
                && i.memory_base().is_gpr64()
            {
                if let FrameValue::At(k) = graph.stack().before(at as u32)[i.memory_base().number()] {
                    let k = k + i.memory_displacement64() as i64;
                    ranges.push((k, k + 16));
                }
            }
        }
        Ok(Self { ranges })
    }
}
