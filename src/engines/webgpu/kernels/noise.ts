/** @file WGSL of adaption/noise.ts: the same draws, from the same keys (random.ts). */

/**
 * −ln(−ln U) needs care in float32: near 1, U itself has too few digits, so −ln U = −ln(1 − (1 − U)) is taken from the
 * distance to 1, which the integer draw gives exactly.
 */
export const gumbelNoiseSource = `
fn mix(word: u32) -> u32 {
  var h = (word ^ (word >> 16u)) * 0x85ebca6bu;
  h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
  return h ^ (h >> 16u);
}
fn hashWord(h: u32, word: u32) -> u32 { return mix(h + word * 0x9e3779b1u + 0x7f4a7c15u); }
fn gumbel(draw: u32) -> f32 {
  const unit = 1.0 / 4294967296.0;
  var nats: f32;
  if (draw < 0x80000000u) {
    nats = -log((f32(draw) + 0.5) * unit);
  } else {
    let distance = (f32(0xffffffffu - draw) + 0.5) * unit;
    if (distance < 1e-3) {
      nats = distance * (1.0 + distance * (0.5 + distance / 3.0));
    } else {
      nats = -log(1.0 - distance);
    }
  }
  return -log(nats);
}
fn gumbelNoise(seed: u32, stepIndex: u32, layerKey: u32, index: u32) -> f32 {
  var h = 0x9e3779b9u;
  h = hashWord(h, seed);
  h = hashWord(h, stepIndex);
  h = hashWord(h, layerKey);
  h = hashWord(h, index);
  return (gumbel(hashWord(h, 0u)) - gumbel(hashWord(h, 1u))) / 100.0;
}`;
