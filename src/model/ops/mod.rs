use candle_core::{D, Result, Tensor};
#[derive(Debug, Clone)]
pub struct AttentionLayout {
    pub offsets: Vec<usize>,
    pub source_lengths: Vec<usize>,
    pub heads: usize,
}
pub fn layer_norm(x: &Tensor, w: &Tensor, b: &Tensor, eps: f64) -> Result<Tensor> {
    let m = x.mean_keepdim(D::Minus1)?;
    let c = x.broadcast_sub(&m)?;
    let v = c.sqr()?.mean_keepdim(D::Minus1)?;
    c.broadcast_div(&(v + eps)?.sqrt()?)?.broadcast_mul(w)?.broadcast_add(b)
}
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}
pub fn linear(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    x.matmul(&w.t()?)?.broadcast_add(b)
}
pub fn dropout(x: &Tensor, _p: f64, _seed: u64) -> Result<Tensor> {
    Ok(x.clone())
}
pub fn cross_entropy(l: &Tensor, t: &Tensor) -> Result<Tensor> {
    candle_nn::loss::cross_entropy(l, t)
}
pub fn tied_cross_entropy(h: &Tensor, e: &Tensor, b: &Tensor, t: &Tensor) -> Result<Tensor> {
    cross_entropy(&h.matmul(&e.t()?)?.broadcast_add(b)?, t)
}
pub fn attention(qkv: &Tensor, l: &AttentionLayout) -> Result<Tensor> {
    let h = qkv.dim(1)? / 3;
    let d = h / l.heads;
    let mut out = vec![];
    for (i, w) in l.offsets.windows(2).enumerate() {
        let n = w[1] - w[0];
        let x = qkv.narrow(0, w[0], n)?.reshape((n, 3, l.heads, d))?.transpose(0, 2)?.contiguous()?; // heads,3,n,d
        let (q, k, v) =
            (x.narrow(1, 0, 1)?.squeeze(1)?, x.narrow(1, 1, 1)?.squeeze(1)?, x.narrow(1, 2, 1)?.squeeze(1)?);
        let s = l.source_lengths[i];
        let mask: Vec<f32> = (0..n * n)
            .map(|p| {
                let (a, b) = (p / n, p % n);
                if b < s || (a >= s && b <= a) { 0. } else { -1e9 }
            })
            .collect();
        let mask = Tensor::from_vec(mask, (1, n, n), qkv.device())?;
        let p = (q.contiguous()?.matmul(&k.transpose(1, 2)?.contiguous()?)? * (1. / (d as f64).sqrt()))?
            .broadcast_add(&mask)?;
        let m = p.max_keepdim(D::Minus1)?.detach();
        let e = p.broadcast_sub(&m)?.exp()?;
        let p = e.broadcast_div(&e.sum_keepdim(D::Minus1)?)?;
        out.push(p.matmul(&v.contiguous()?)?.transpose(0, 1)?.reshape((n, h))?);
    }
    Tensor::cat(&out, 0)
}
