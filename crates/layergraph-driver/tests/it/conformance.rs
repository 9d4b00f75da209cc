//! The model driver keeps the laws, but for those about several processes: its books are in memory.

use layergraph_driver::conformance::ModelDriver;
use layergraph_driver::driver_conformance;

driver_conformance!(
    model,
    ModelDriver::open_dyn,
    skipped = layergraph_tests::skip::record,
    in_one_process
);
