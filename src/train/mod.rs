//! Trains a SimBERT: pairs, losses, schedule, loop, checkpoints, report.

mod checkpoint;
mod device;
pub mod losses;
mod optimizer;
pub mod pairs;
mod report;
mod samples;
mod schedule;
mod settings;
mod trainer;

pub use checkpoint::Checkpoint;
pub use device::best_device;
pub use optimizer::AdamW;
pub use report::{Report, StepReport};
pub use schedule::learning_rate;
pub use settings::{
    CheckpointSettings, DataSettings, DevSettings, LossSettings, ModelSettings, OptimizerSettings, SampleSettings,
    Schedule, Settings, TeacherSettings,
};
pub use trainer::{Event, Outcome, Start, Trainer};
