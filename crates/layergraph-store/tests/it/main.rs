//! What a store keeps and gives out, with both drivers.

mod collecting;
mod exporting;
mod importing;
mod naming;
mod refusing;
mod support;
