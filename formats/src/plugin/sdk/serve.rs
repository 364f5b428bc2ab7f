//! The plugin's side of the conversation.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use super::super::frame::{FrameError, receive, send};
use super::super::layout::Layout;
use super::super::message::{Batch, FromPlugin, MAGIC, NEWEST, OLDEST, Rewritten, ToPlugin, TypePair};
use super::Plugin;
use super::object::{Carried, NewObject, Object, Refusal};
use super::process::Process;

/// Serves dsu over standard input and output until it has no more objects; the whole `main` of a plugin.
pub fn run(name: &str, mut plugin: impl Plugin) -> ExitCode {
    let mut from = std::io::stdin().lock();
    let mut to = std::io::BufWriter::new(std::io::stdout().lock());
    match serve(name, &mut plugin, &mut from, &mut to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// As [`run`], over any pair of streams.
fn serve(name: &str, plugin: &mut impl Plugin, from: &mut impl Read, to: &mut impl Write) -> Result<(), FrameError> {
    let version = match receive(from)? {
        ToPlugin::Greeting { magic: MAGIC, oldest, newest, .. } if oldest <= NEWEST && newest >= OLDEST => newest.min(NEWEST),
        ToPlugin::Greeting { oldest, newest, dsu, .. } => {
            let reason = format!("it speaks protocol {OLDEST} to {NEWEST}, dsu {dsu} speaks {oldest} to {newest}");
            return send(to, &FromPlugin::Refused { address: 0, reason });
        }
        _ => return refuse_order(to),
    };
    let rewritten = plugin.rewrites().into_iter().map(|(old, new)| (old.to_owned(), new.to_owned())).collect();
    let looked_at = plugin.looks_at().into_iter().map(str::to_owned).collect();
    send(to, &FromPlugin::Greeting { magic: MAGIC, version, name: name.to_owned(), rewritten, looked_at })?;
    let ToPlugin::Types { rewritten, looked_at } = receive(from)? else { return refuse_order(to) };
    let old_types: Vec<Arc<Layout>> = rewritten.iter().map(|pair| Arc::new(pair.old.clone())).collect();
    let known = old_types.iter().cloned().chain(looked_at.into_iter().map(Arc::new));
    let layouts: HashMap<String, Arc<Layout>> = known.map(|layout| (layout.name.clone(), layout)).collect();
    send(to, &FromPlugin::Ready)?;
    let carried = old_types.iter().zip(&rewritten).map(|(old, pair)| Carried::new(old, &pair.new)).collect();
    let mut session = Session { plugin, pairs: rewritten, old_types, carried, layouts, next_block: Process::FIRST_BLOCK };
    loop {
        match receive(from)? {
            ToPlugin::Batch(batch) => {
                let answer = match session.batch(&batch, from, to) {
                    Ok(rewritten) => FromPlugin::Rewritten(rewritten),
                    Err((address, Refusal(reason))) => FromPlugin::Refused { address, reason },
                };
                send(to, &answer)?;
            }
            ToPlugin::End => return Ok(()),
            _ => return refuse_order(to),
        }
    }
}

fn refuse_order(to: &mut impl Write) -> Result<(), FrameError> {
    send(to, &FromPlugin::Refused { address: 0, reason: "a message that does not belong here".to_owned() })
}

struct Session<'p, P> {
    plugin: &'p mut P,
    pairs: Vec<TypePair>,
    old_types: Vec<Arc<Layout>>,
    carried: Vec<Carried>,
    layouts: HashMap<String, Arc<Layout>>,
    next_block: u64,
}

impl<P: Plugin> Session<'_, P> {
    fn batch(&mut self, batch: &Batch, from: &mut impl Read, to: &mut impl Write) -> Result<Rewritten, (u64, Refusal)> {
        let kind = batch.kind as usize;
        let (Some(pair), Some(layout), Some(carried)) = (self.pairs.get(kind), self.old_types.get(kind), self.carried.get(kind))
        else {
            return Err((0, Refusal::new("objects of a type that was not agreed on")));
        };
        let (old_size, new_size) = (pair.old.size as usize, pair.new.size as usize);
        if old_size == 0 || batch.bytes.len() != old_size * batch.addresses.len() {
            return Err((0, Refusal::new("a batch whose bytes are not its objects")));
        }
        let mut answer = Rewritten { bytes: vec![0; new_size * batch.addresses.len()], blocks: Vec::new() };
        let mut object = Object { layout: Arc::clone(layout), address: 0, bytes: vec![0; old_size] };
        for (index, address) in batch.addresses.iter().enumerate() {
            object.address = *address;
            object.bytes.copy_from_slice(&batch.bytes[index * old_size..][..old_size]);
            let mut new = NewObject { layout: &pair.new, bytes: &mut answer.bytes[index * new_size..][..new_size], carried };
            let mut process = Process {
                from,
                to,
                layouts: &self.layouts,
                blocks: &mut answer.blocks,
                next_block: &mut self.next_block,
                total: batch.total,
            };
            self.plugin.rewrite(&object, &mut new, &mut process).map_err(|refusal| (*address, refusal))?;
        }
        Ok(answer)
    }
}
