//! The transaction: capture, plan, vessel, commit, or back.
