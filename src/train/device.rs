//! The device a run trains on.

use candle_core::Device;

use crate::{Error, Result};

/// The first CUDA device where the build has CUDA, else the CPU. `cpu` forces the CPU.
///
/// # Errors
/// The build has CUDA, but there is no device that it can use: hours on the CPU would be no fair replacement unasked.
pub fn best_device(cpu: bool) -> Result<Device> {
    if cpu || !candle_core::utils::cuda_is_available() {
        return Ok(Device::Cpu);
    }
    Device::new_cuda(0).map_err(|e| Error::Unavailable {
        what: "the CUDA device".to_owned(),
        reason: format!("{e}; `--cpu` trains on the processor instead"),
    })
}
