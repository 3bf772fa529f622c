// Run in a process of its own: loads a binding, multiplies two matrices with it and prints TensorFlow's version.
import { strict as assert } from 'node:assert';

const loaded = { exports: {} };
process.dlopen(loaded, process.argv[2]);
const tf = loaded.exports;
const matrix = () => tf.createTensor([2, 2], tf.TF_FLOAT, Float32Array.of(1, 2, 3, 4));
const [product] = tf.executeOp(
  'MatMul',
  [
    { name: 'transpose_a', type: tf.TF_ATTR_BOOL, value: false },
    { name: 'transpose_b', type: tf.TF_ATTR_BOOL, value: false },
    { name: 'T', type: tf.TF_ATTR_TYPE, value: tf.TF_FLOAT },
  ],
  [matrix(), matrix()],
  1,
);
assert.deepEqual([...tf.tensorDataSync(product.id)], [7, 10, 15, 22]);
console.log(JSON.stringify({ tensorflow: tf.TF_Version, usesGpu: tf.isUsingGpuDevice() }));
