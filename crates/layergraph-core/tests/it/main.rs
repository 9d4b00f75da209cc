//! What the graph promises, on real stores, by itself and beside other threads and processes.

mod concurrency;
mod hooked;
mod laws;
mod model;
mod processes;
mod progress;
mod reference;
mod reference_anew;
mod reference_damaged;
mod reference_layers;
mod roots;
mod seed;
mod sharing;
mod support;
mod written;
