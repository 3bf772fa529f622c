import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { exportModel } from '../../src/export/exportModel.js';
import { assertClose } from '../engines/assertClose.js';
import { tinyBatch, tinyMethod } from '../engines/fixtures.js';
import { engineLogits, tinyBackbone, tinyTask } from './cases.js';

/** A Python with onnxruntime and numpy: $XBM_TEST_PYTHON, else python3. */
const python = process.env.XBM_TEST_PYTHON ?? 'python3';

const script = `
import json, sys
import numpy as np, onnxruntime as ort
folder, size, images, tasks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
pixels = np.fromfile(folder + "/pixels", np.uint8).reshape(images, size, size, 3)
session = ort.InferenceSession(folder + "/model.onnx")
names = [task["name"] for task in json.loads(session.get_modelmeta().custom_metadata_map["tasks"])]
for task in range(tasks):
    feeds = {"pixels": pixels}
    if tasks > 1:
        feeds["task"] = np.array(task, np.int64)
    [logits] = session.run(["logits"], feeds)
    logits.tofile(f"{folder}/logits-{names[task]}")
`;

/** Why the test cannot run here; undefined when it can. */
function missing(): string | undefined {
  const { status } = spawnSync(python, ['-c', 'import onnxruntime, numpy']);
  if (status === 0) return undefined;
  return `${python} has no onnxruntime: python3 -m venv V && V/bin/pip install onnxruntime numpy, then XBM_TEST_PYTHON=V/bin/python`;
}

for (const precision of ['int8', 'float'] as const) {
  for (const count of [1, 3]) {
    test(`Python's onnxruntime computes the engine's logits: ${count} tasks, ${precision}`, async (t) => {
      const reason = missing();
      if (reason) return t.skip(reason);
      const folder = mkdtempSync(join(tmpdir(), 'xbm-python-'));
      try {
        const tiny = tinyBackbone('bottleneck');
        const { backbone, imageSize } = tiny;
        const tasks = Array.from({ length: count }, (_, i) => ({
          name: `t${i}`,
          task: tinyTask(tiny, tinyMethod('xbm'), 3 + i, i + 1),
          preparation: null,
        }));
        const batch = tinyBatch({ batchSize: 4, imageSize });
        writeFileSync(join(folder, 'model.onnx'), exportModel({ backbone, tasks, precision }).bytes);
        writeFileSync(join(folder, 'pixels'), batch.pixels);
        const sizes = [imageSize, 4, count].map(String);
        const { status, stderr } = spawnSync(python, ['-c', script, folder, ...sizes], { encoding: 'utf8' });
        assert.equal(status, 0, stderr);
        for (const { name, task } of tasks) {
          const bytes = readFileSync(join(folder, `logits-${name}`));
          const logits = new Float32Array(new Uint8Array(bytes).buffer);
          assertClose(logits, await engineLogits(task, backbone, batch), 2e-5, name);
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }
}
