//! What the graph promises, on real stores, by itself and beside other threads and processes.

mod concurrency;
mod damage;
mod deletion;
mod exact;
mod faults;
mod hooked;
mod kept;
mod laws;
mod model;
mod mounting;
mod parents;
mod preparing;
mod progress;
mod reference;
mod reference_anew;
mod reference_damaged;
mod reference_layers;
mod roots;
mod seed;
mod sharing;
mod support;
mod sweeping;
mod worker;
mod written;
