/** Images of one step, augmented and of one size. Engines normalise. */
export interface Batch {
  /** RGB, 0 … 255, [batch, height, width, 3]. */
  readonly pixels: Uint8Array;
  /** Class indices [batch]; −1 marks padding of the last evaluation batch, which counts nowhere. */
  readonly labels: Int32Array;
}
