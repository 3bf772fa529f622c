/** @file Element types of safetensors files, and the conversions from half-width floats. */

/** Typed array that holds the elements of each dtype; F16 and BF16 as their 16-bit patterns. */
export const dtypeArrays = {
  F64: Float64Array,
  I64: BigInt64Array,
  F32: Float32Array,
  I32: Int32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
} as const;

export type Dtype = keyof typeof dtypeArrays;
export type TensorData =
  | Float64Array
  | BigInt64Array
  | Float32Array
  | Int32Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

export interface Tensor {
  readonly dtype: Dtype;
  /** Row-major; [] for a scalar. */
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** IEEE 754 binary16 patterns to float32; exact. */
export function decodeFloat16(bits: Uint16Array): Float32Array {
  const values = new Float32Array(bits.length);
  const asInt = new Uint32Array(values.buffer);
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i] & 0x8000) << 16;
    const exponent = (bits[i] >> 10) & 0x1f;
    const fraction = bits[i] & 0x3ff;
    if (exponent === 0) {
      values[i] = fraction * 2 ** -24;
      asInt[i] |= sign;
    } else {
      // Infinity and NaN keep an all-ones exponent.
      const wide = exponent === 0x1f ? 0xff : exponent + 112;
      asInt[i] = sign | (wide << 23) | (fraction << 13);
    }
  }
  return values;
}

/** bfloat16 patterns to float32: the upper half of its bits; exact. */
export function decodeBFloat16(bits: Uint16Array): Float32Array {
  const asInt = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) asInt[i] = bits[i] << 16;
  return new Float32Array(asInt.buffer);
}
