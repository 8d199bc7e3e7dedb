//! The one operator of the decoder's graph that ONNX Runtime does not have: attention over a cache that is read where it
//! lies, token by token. So the cache is never copied, and rows of one step may belong to any samples of any sources.

use ort::operator::{
    BoxedKernel, ComputeContext, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
};
use ort::value::{TensorElementType, ValueRef};
use parking_lot::Mutex;

use crate::model::ops::{Tokens, attend};
use crate::onnx::GATHERED_ATTENTION;

/// Rows that one thread takes at a time: fewer are done before another thread has woken up.
const ROWS_PER_TASK: usize = 16;

/// The operators that our graphs need beyond ONNX Runtime's.
///
/// # Errors
/// ONNX Runtime refuses them.
pub fn operators() -> ort::Result<OperatorDomain> {
    OperatorDomain::new(GATHERED_ATTENTION.0)?.add(GatheredAttention)
}

/// See [`crate::onnx`]'s decoder for its inputs.
struct GatheredAttention;

impl Operator for GatheredAttention {
    type Kernel<'attr> = BoxedKernel<'attr>;

    fn name(&self) -> &str {
        GATHERED_ATTENTION.1
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let (float, int) = (TensorElementType::Float32, TensorElementType::Int64);
        [float, float, float, float, float, int, int].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, attributes: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let heads: i64 = attributes.get("heads").ok_or_else(|| ort::Error::new("the attribute `heads` is missing"))?;
        let heads = usize::try_from(heads).map_err(|_| ort::Error::new("`heads` is below 0"))?;
        Ok(Box::new(move |context: &ComputeContext| compute(context, heads)))
    }
}

fn compute(context: &ComputeContext, heads: usize) -> ort::Result<()> {
    let inputs = (0..7).map(|i| context.input(i)?.ok_or_else(|| ort::Error::new("an input is missing")));
    let inputs = inputs.collect::<ort::Result<Vec<ValueRef<'_>>>>()?;
    let floats = |i: usize| inputs[i].try_extract_tensor::<f32>();
    let (shape, queries) = floats(0)?;
    let hidden = shape.last().map_or(0, |&width| width as usize);
    let (reads, ends) = (inputs[5].try_extract_tensor::<i64>()?.1, inputs[6].try_extract_tensor::<i64>()?.1);
    let new = [floats(1)?.1, floats(2)?.1];
    let tokens = Tokens { past: [floats(3)?.1, floats(4)?.1], new, hidden, heads };

    // What does not fit must be an error: a panic may not cross over into ONNX Runtime.
    let fits = hidden > 0 && heads > 0 && hidden.is_multiple_of(heads) && queries.len() == ends.len() * hidden;
    let whole = tokens.past.iter().chain(&new).all(|rows| rows.len().is_multiple_of(hidden.max(1)));
    let paired = tokens.past[0].len() == tokens.past[1].len() && new.iter().all(|rows| rows.len() == queries.len());
    let there = reads.iter().all(|&read| read >= 0 && (read as usize) < tokens.len());
    let sorted = ends.is_sorted() && ends.first().is_none_or(|&end| end >= 0);
    if !(fits && whole && paired && there && sorted && ends.last().is_none_or(|&end| end as usize <= reads.len())) {
        return Err(ort::Error::new("the inputs of the attention do not fit together"));
    }

    let mut out = context.output(0, shape.to_vec())?.ok_or_else(|| ort::Error::new("the output is missing"))?;
    let (_, out) = out.try_extract_tensor_mut::<f32>()?;
    let gather = |first: usize, out: &mut [f32]| {
        let mut scores = Vec::new();
        for (row, out) in (first..).zip(out.chunks_exact_mut(hidden)) {
            let from = if row == 0 { 0 } else { ends[row - 1] as usize };
            attend(&queries[row * hidden..][..hidden], tokens, &reads[from..ends[row] as usize], &mut scores, out);
        }
    };
    let tasks: Vec<Mutex<&mut [f32]>> = out.chunks_mut(ROWS_PER_TASK * hidden).map(Mutex::new).collect();
    match &tasks[..] {
        [] => {}
        [all] => gather(0, &mut all.lock()),
        tasks => context.par_for(tasks.len(), 0, |task| gather(task * ROWS_PER_TASK, &mut tasks[task].lock()))?,
    }
    Ok(())
}
