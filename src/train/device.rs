//! The device a run trains on.

use candle_core::Device;

use crate::Result;

/// The first CUDA device where the build has CUDA and the machine a device, else the CPU. `cpu` forces the CPU.
///
/// # Errors
/// There is a CUDA device but it cannot be used.
pub fn best_device(cpu: bool) -> Result<Device> {
    if cpu || !candle_core::utils::cuda_is_available() {
        return Ok(Device::Cpu);
    }
    Ok(Device::new_cuda(0)?)
}
