import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { taskTensors } from '../../../src/adaption/parameters.js';
import { stateLayout, stateToVectors, vectorsToState } from '../../../src/engines/onnx/layout.js';
import { adam, plainSgd, tinyMethod, tinyPlan, tinyState } from '../fixtures.js';

describe('state layout', () => {
  for (const method of [
    tinyMethod('xbm'),
    tinyMethod('piggyback'),
    tinyMethod('finetune'),
    tinyMethod('classifier'),
  ]) {
    for (const optimizer of [adam, plainSgd]) {
      test(`${method.name} with ${optimizer.kind}: vectors and state convert into each other`, () => {
        const plan = tinyPlan({ method, optimizer });
        const state = tinyState(plan);
        for (const values of Object.values(state.moments)) values.set(values.map((_, i) => i / 7));
        const layout = stateLayout(taskTensors(plan.graph, method), optimizer.kind);
        const again = vectorsToState(layout, stateToVectors(layout, state), state, state.step);
        assert.deepEqual(again, state);
      });
    }
  }

  test('a tensor of the wrong length is named', () => {
    const plan = tinyPlan();
    const state = tinyState(plan);
    const layout = stateLayout(taskTensors(plan.graph, plan.method), 'adam');
    state.tensors['bn1.weight'] = new Float32Array(1);
    assert.throws(() => stateToVectors(layout, state), /bn1\.weight has 1 values/);
  });
});
