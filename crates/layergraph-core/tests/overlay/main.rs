//! What the graph promises, with the driver overlay: what depends on the driver of the tests in
//! `tests/it`, and what there is with this driver alone.

mod building;
#[path = "../it/concurrency.rs"]
mod concurrency;
#[path = "../it/damage.rs"]
mod damage;
#[path = "../it/deletion.rs"]
mod deletion;
#[path = "../it/exact.rs"]
mod exact;
#[path = "../it/faults.rs"]
mod faults;
mod histories;
#[path = "../it/hooked.rs"]
mod hooked;
mod kept;
#[path = "../it/laws.rs"]
mod laws;
mod leftovers;
#[path = "../it/model.rs"]
mod model;
#[path = "../it/mounting.rs"]
mod mounting;
#[path = "../it/parents.rs"]
mod parents;
#[path = "../it/preparing.rs"]
mod preparing;
#[path = "../it/reference.rs"]
mod reference;
#[path = "../it/reference_anew.rs"]
mod reference_anew;
#[path = "../it/reference_layers.rs"]
mod reference_layers;
#[path = "../it/seed.rs"]
mod seed;
#[path = "../it/sharing.rs"]
mod sharing;
#[path = "../it/support.rs"]
mod support;
#[path = "../it/sweeping.rs"]
mod sweeping;
#[path = "../it/worker.rs"]
mod worker;
