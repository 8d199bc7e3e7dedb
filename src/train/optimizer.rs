//! AdamW with gradient clipping (Loshchilov and Hutter, 2019).

use std::collections::{BTreeMap, HashMap};

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor, Var};
use parking_lot::Mutex;
use rayon::prelude::*;

use super::OptimizerSettings;
use crate::model::Weights;
use crate::{Error, Result};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-7;

/// Numbers that one thread updates at a time.
const CHUNK: usize = 1 << 14;

/// Running means of one parameter's gradient and of its square.
#[derive(Debug)]
enum Moments {
    Cpu(Mutex<(Vec<f32>, Vec<f32>)>),
    Device { mean: Tensor, square: Tensor },
}

/// The optimiser's state: moments of every parameter, and the steps taken.
#[derive(Debug)]
pub struct AdamW {
    moments: BTreeMap<String, Moments>,
    weight_decay: f64,
    decay_all: bool,
    clip_norm: f64,
    steps: u64,
}

impl AdamW {
    /// A fresh state for `weights`.
    ///
    /// # Errors
    /// The device refuses the memory.
    pub fn new(weights: &Weights, settings: &OptimizerSettings) -> Result<Self> {
        let &OptimizerSettings { weight_decay, decay_all, clip_norm, .. } = settings;
        let mut moments = BTreeMap::new();
        for (name, variable) in weights.iter() {
            let count = variable.as_tensor().elem_count();
            let start = if variable.device().is_cpu() {
                Moments::Cpu(Mutex::new((vec![0.0; count], vec![0.0; count])))
            } else {
                Moments::Device { mean: variable.zeros_like()?, square: variable.zeros_like()? }
            };
            moments.insert(name.to_owned(), start);
        }
        Ok(Self { moments, weight_decay, decay_all, clip_norm, steps: 0 })
    }

    /// Moves every parameter that has a gradient. Returns the gradient's l2 norm before clipping.
    ///
    /// # Errors
    /// The gradient is not finite (nothing was moved then), or the device fails.
    pub fn step(&mut self, weights: &Weights, gradients: &GradStore, learning_rate: f64) -> Result<f64> {
        let gradients_of = weights.iter().filter_map(|(_, variable)| gradients.get(variable));
        let norm = square_norm(gradients_of)?.sqrt();
        if !norm.is_finite() {
            return Err(Error::invalid("gradient", "finite numbers; a smaller learning rate may help", norm));
        }
        let scale = if self.clip_norm > 0.0 && norm > self.clip_norm { self.clip_norm / norm } else { 1.0 };
        self.steps += 1;
        let steps = self.steps as i32;
        for (name, variable) in weights.iter() {
            let Some(gradient) = gradients.get(variable) else { continue };
            let decays = self.decay_all || variable.rank() > 1;
            let update = Update {
                scale: scale as f32,
                step_size: (learning_rate / (1.0 - BETA1.powi(steps))) as f32,
                square_correction: (1.0 / (1.0 - BETA2.powi(steps))) as f32,
                keep: if decays { (1.0 - learning_rate * self.weight_decay) as f32 } else { 1.0 },
            };
            match self.moments.get_mut(name) {
                Some(Moments::Cpu(moments)) => {
                    let gradient = gradient.contiguous()?;
                    variable.as_tensor().inplace_op2(&gradient, &CpuStep { update, moments })?;
                }
                Some(Moments::Device { mean, square }) => update.on_device(variable, gradient, mean, square)?,
                None => return Err(Error::Internal(format!("the optimiser does not know the parameter `{name}`"))),
            }
        }
        Ok(norm)
    }

    /// The state as tensors, to be kept with a checkpoint.
    ///
    /// # Errors
    /// The device fails.
    pub fn tensors(&self, weights: &Weights) -> Result<HashMap<String, Tensor>> {
        let mut tensors = HashMap::new();
        for (name, variable) in weights.iter() {
            let (mean, square) = match self.moments.get(name) {
                Some(Moments::Cpu(moments)) => {
                    let (mean, square) = &*moments.lock();
                    let tensor = |values: &[f32]| Tensor::from_slice(values, variable.shape(), variable.device());
                    (tensor(mean)?, tensor(square)?)
                }
                Some(Moments::Device { mean, square }) => (mean.clone(), square.clone()),
                None => continue,
            };
            tensors.insert(format!("mean.{name}"), mean);
            tensors.insert(format!("square.{name}"), square);
        }
        Ok(tensors)
    }

    /// Puts back what [`AdamW::tensors`] gave, after `steps` steps.
    ///
    /// # Errors
    /// A tensor is missing or of another size.
    pub fn restore(&mut self, tensors: &HashMap<String, Tensor>, steps: u64) -> Result<()> {
        for (name, moments) in &mut self.moments {
            let find = |kind: &str| {
                tensors.get(&format!("{kind}.{name}")).ok_or_else(|| {
                    Error::invalid("optimiser state of the checkpoint", format!("a tensor `{kind}.{name}`"), "none")
                })
            };
            let (mean, square) = (find("mean")?, find("square")?);
            match moments {
                Moments::Cpu(moments) => {
                    let read = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
                    let loaded = (read(mean)?, read(square)?);
                    let mut moments = moments.lock();
                    if loaded.0.len() != moments.0.len() || loaded.1.len() != moments.0.len() {
                        return Err(Error::invalid(
                            "optimiser state of the checkpoint",
                            format!("{} numbers for `{name}`", moments.0.len()),
                            loaded.0.len(),
                        ));
                    }
                    *moments = loaded;
                }
                Moments::Device { mean: to_mean, square: to_square } => {
                    if mean.dims() != to_mean.dims() || square.dims() != to_mean.dims() {
                        return Err(Error::invalid(
                            "optimiser state of the checkpoint",
                            format!("tensors of shape {:?} for `{name}`", to_mean.dims()),
                            format!("{:?} and {:?}", mean.dims(), square.dims()),
                        ));
                    }
                    *to_mean = mean.to_device(to_mean.device())?;
                    *to_square = square.to_device(to_square.device())?;
                }
            }
        }
        self.steps = steps;
        Ok(())
    }
}

/// The numbers of one step that are the same for a whole parameter.
#[derive(Debug, Clone, Copy)]
struct Update {
    /// The gradient is multiplied by it: clipping.
    scale: f32,
    /// Learning rate over the bias correction of the mean.
    step_size: f32,
    /// Bias correction of the mean square.
    square_correction: f32,
    /// What weight decay leaves of the parameter.
    keep: f32,
}

impl Update {
    fn on_device(self, variable: &Var, gradient: &Tensor, mean: &mut Tensor, square: &mut Tensor) -> Result<()> {
        // candle's gradients remember what they were made from: the means would keep the states of every step alive.
        let gradient = (gradient.detach() * f64::from(self.scale))?;
        *mean = ((&*mean * BETA1)? + (&gradient * (1.0 - BETA1))?)?;
        *square = ((&*square * BETA2)? + (gradient.sqr()? * (1.0 - BETA2))?)?;
        let root = ((&*square * f64::from(self.square_correction))?.sqrt()? + EPSILON)?;
        let moved = (mean.div(&root)? * f64::from(self.step_size))?;
        variable.set(&((variable.as_detached_tensor() * f64::from(self.keep))? - moved)?)?;
        Ok(())
    }
}

/// One parameter's step in place, on all cores.
struct CpuStep<'a> {
    update: Update,
    moments: &'a Mutex<(Vec<f32>, Vec<f32>)>,
}

impl InplaceOp2 for CpuStep<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        to: &mut CpuStorage,
        _: &Layout,
        from: &CpuStorage,
        from_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(parameter), CpuStorage::F32(gradient)) = (to, from) else {
            candle_core::bail!("adamw works on f32")
        };
        let gradient = &gradient[from_layout.start_offset()..][..parameter.len()];
        let (mean, square) = &mut *self.moments.lock();
        let Update { scale, step_size, square_correction, keep } = self.update;
        let (beta1, beta2, epsilon) = (BETA1 as f32, BETA2 as f32, EPSILON as f32);
        parameter
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(mean.par_chunks_mut(CHUNK).zip(square.par_chunks_mut(CHUNK)))
            .for_each(|((parameter, gradient), (mean, square))| {
                for i in 0..parameter.len() {
                    let g = gradient[i] * scale;
                    mean[i] = beta1 * mean[i] + (1.0 - beta1) * g;
                    square[i] = beta2 * square[i] + (1.0 - beta2) * g * g;
                    let root = (square[i] * square_correction).sqrt() + epsilon;
                    parameter[i] = parameter[i] * keep - step_size * mean[i] / root;
                }
            });
        Ok(())
    }
}

/// Sum of the squares of all gradients, in f64.
fn square_norm<'a>(gradients: impl Iterator<Item = &'a Tensor>) -> Result<f64> {
    let (mut total, mut on_device) = (0.0, Vec::new());
    for gradient in gradients {
        if gradient.device().is_cpu() && gradient.dtype() == DType::F32 {
            total += square_norm_on_cpu(gradient)?;
        } else {
            on_device.push(gradient.detach().to_dtype(DType::F32)?.sqr()?.sum_all()?);
        }
    }
    if on_device.is_empty() {
        return Ok(total);
    }
    // Fetched at once: the device would be idle at each wait for one number.
    let squares = Tensor::stack(&on_device, 0)?.to_vec1::<f32>()?;
    Ok(total + squares.into_iter().map(f64::from).sum::<f64>())
}

fn square_norm_on_cpu(gradient: &Tensor) -> Result<f64> {
    let gradient = gradient.contiguous()?;
    let (storage, layout) = gradient.storage_and_layout();
    let candle_core::Storage::Cpu(CpuStorage::F32(values)) = &*storage else {
        return Err(Error::Internal("a gradient on the CPU is not f32".to_owned()));
    };
    let values = &values[layout.start_offset()..][..gradient.elem_count()];
    Ok(values
        .par_chunks(CHUNK)
        .map(|chunk| f64::from(chunk.chunks(256).map(|c| c.iter().map(|g| g * g).sum::<f32>()).sum::<f32>()))
        .sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Config, Weights};
    use candle_core::Device;

    fn tiny() -> Weights {
        let config: Config = serde_json::from_value(serde_json::json!({
            "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 64,
        }))
        .unwrap();
        Weights::random(&config, 1, &Device::Cpu).unwrap()
    }

    fn settings(weight_decay: f64, clip_norm: f64) -> OptimizerSettings {
        OptimizerSettings { weight_decay, clip_norm, ..OptimizerSettings::default() }
    }

    /// The first step of Adam moves each number by the learning rate against the gradient's sign.
    #[test]
    fn the_first_step_has_the_length_of_the_learning_rate() {
        let weights = tiny();
        let table = weights.get("embeddings.word_embeddings.weight").unwrap();
        let before = table.copy().unwrap();
        let gradients = (table * 3.0).unwrap().sum_all().unwrap().backward().unwrap();
        let norm = AdamW::new(&weights, &settings(0.0, 1.0)).unwrap().step(&weights, &gradients, 0.5).unwrap();
        assert!((norm - 3.0 * 88f64.sqrt()).abs() < 1e-3);
        let moved = (table - before).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(moved.iter().all(|m| (m + 0.5).abs() < 1e-4), "{moved:?}");
    }

    #[test]
    fn a_gradient_that_is_not_finite_moves_nothing() {
        let weights = tiny();
        let bias = weights.get("cls.predictions.bias").unwrap();
        let gradients = (bias * f64::NAN).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(AdamW::new(&weights, &settings(0.0, 1.0)).unwrap().step(&weights, &gradients, 0.5).is_err());
        assert_eq!(bias.to_vec1::<f32>().unwrap(), [0.0; 11]);
    }

    #[test]
    fn cpu_and_device_arithmetic_agree() {
        let (weights, other) = (tiny(), tiny());
        let name = "embeddings.word_embeddings.weight";
        let (table, copy) = (weights.get(name).unwrap(), other.get(name).unwrap());
        let mut optimizer = AdamW::new(&weights, &settings(0.1, 0.0)).unwrap();
        let (mut mean, mut square) = (copy.zeros_like().unwrap(), copy.zeros_like().unwrap());
        for step in 1..4 {
            let gradients = table.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            optimizer.step(&weights, &gradients, 0.1).unwrap();
            let update = Update {
                scale: 1.0,
                step_size: (0.1 / (1.0 - BETA1.powi(step))) as f32,
                square_correction: (1.0 / (1.0 - BETA2.powi(step))) as f32,
                keep: 0.99,
            };
            let (_, variable) = other.iter().find(|(n, _)| *n == name).unwrap();
            update.on_device(variable, &(copy * 2.0).unwrap(), &mut mean, &mut square).unwrap();
            assert!(!mean.track_op() && !square.track_op(), "the moments keep the graph of their gradient alive");
        }
        let gap = (table - copy).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(gap < 1e-5, "{gap}");
    }
}
