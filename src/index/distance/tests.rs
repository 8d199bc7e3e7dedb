use half::f16;
use proptest::prelude::*;

use super::super::aligned::Aligned;
use super::*;

proptest! {
    #[test]
    fn every_kernel_agrees_with_plain_sums(
        pairs in prop::collection::vec((-1f32..1.0, -1f32..1.0), 0..900),
        cut in 0usize..3,
    ) {
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        let (a, b) = (&a[cut.min(a.len())..], &b[cut.min(b.len())..]); // unaligned starts too
        let expected: f64 = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
        let size: f64 = a.iter().zip(b).map(|(&x, &y)| f64::from(x * y).abs()).sum();
        for Kernels { name, dot, .. } in supported() {
            let received = f64::from(dot(a, b));
            prop_assert!((received - expected).abs() <= 1e-6 * size + 1e-9, "{name}: {received} against {expected}");
        }
    }

    #[test]
    fn every_gathering_kernel_agrees_with_plain_sums(
        lines in 1usize..14,
        ids in prop::collection::vec(0u32..9, 0..21),
        seed: u64,
    ) {
        let stride = lines * LINE;
        let mut state = seed | 1;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as i32 as i8
        };
        // A query of the widest kind, and rows of each kind, all from the same bytes.
        let components: Vec<i8> = (0..9 * stride).map(|_| random()).collect();
        let query: Vec<i8> = (0..stride).map(|_| random()).collect();
        let float = |x: i8| f32::from(x) / 128.0;
        let check = |gather: Gather, name: &str, query: &[u8], rows: &[u8], width: usize, scale: f64, q: &[i8]| {
            let (query, rows) = (Aligned::copy_of(query), Aligned::copy_of(rows));
            let mut scores = vec![0.0; ids.len()];
            // SAFETY: 9 rows of `stride` bytes, ids below 9, and a query as wide.
            unsafe { gather(query.as_ptr(), rows.as_ptr(), stride, &ids, &mut scores) };
            for (&id, score) in ids.iter().zip(scores) {
                let row = &components[id as usize * width..][..width];
                let expected = q.iter().zip(row).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>() * scale;
                prop_assert!((f64::from(score) - expected).abs() <= 1e-5 * width as f64, "{name}: {score}, {expected}");
            }
            Ok(())
        };
        for kernels in supported() {
            let width = stride / 4;
            let rows: Vec<f32> = components[..9 * width].iter().map(|&x| float(x)).collect();
            let q: Vec<f32> = query[..width].iter().map(|&x| float(x)).collect();
            let scale = 1.0 / 16384.0;
            let name = kernels.name;
            check(kernels.f32, name, bytemuck::cast_slice(&q), bytemuck::cast_slice(&rows), width, scale, &query[..width])?;
            let width = stride / 2;
            let rows: Vec<u16> = components[..9 * width].iter().map(|&x| f16::from_f32(float(x)).to_bits()).collect();
            let q: Vec<f32> = query[..width].iter().map(|&x| float(x)).collect();
            check(kernels.f16, name, bytemuck::cast_slice(&q), bytemuck::cast_slice(&rows), width, scale, &query[..width])?;
            let q: Vec<i16> = query.iter().map(|&x| i16::from(x)).collect();
            check(kernels.int8, name, bytemuck::cast_slice(&q), bytemuck::cast_slice(&components), stride, 1.0, &query)?;
        }
    }
}

#[test]
fn unequal_lengths_read_no_further_than_the_shorter() {
    for Kernels { name, dot, .. } in supported() {
        assert_eq!(dot(&[1.0; 100], &[2.0; 37]), 74.0, "{name}");
        assert_eq!(dot(&[], &[2.0; 37]), 0.0, "{name}");
    }
}
