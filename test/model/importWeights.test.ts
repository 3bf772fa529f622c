import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { UserError } from '../../src/errors.js';
import { dequantize } from '../../src/model/backbone.js';
import type { Tensor } from '../../src/model/dtype.js';
import { layersOfKind } from '../../src/model/graph.js';
import { detectNetwork, importWeights } from '../../src/model/importWeights.js';
import { buildNetwork } from '../../src/model/networks.js';
import { readSafetensors, type Safetensors } from '../../src/model/safetensors.js';
import { torchvisionName } from '../../src/model/weightNames.js';
import { packageRoot } from '../../src/paths.js';
import { noise } from './fixtures.js';

/** Tensors of cifar-resnet8 under torchvision's names. */
function tinyTensors(classes = 7): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  const add = (name: string, shape: number[]) => {
    const data = noise(
      name,
      shape.reduce((a, b) => a * b, 1),
    );
    tensors.set(name, {
      dtype: 'F32',
      shape,
      data: name.endsWith('running_var') ? data.map(Math.abs) : data,
    });
  };
  for (const layer of buildNetwork('cifar-resnet8', classes).layers) {
    if (layer.kind === 'conv')
      add(`${layer.name}.weight`, [layer.outChannels, layer.inChannels, layer.kernel, layer.kernel]);
    if (layer.kind === 'linear') {
      add('fc.weight', [layer.outFeatures, layer.inFeatures]);
      add('fc.bias', [layer.outFeatures]);
    }
    if (layer.kind === 'batchNorm') {
      for (const suffix of ['weight', 'bias', 'running_mean', 'running_var'])
        add(`${layer.name}.${suffix}`, [layer.channels]);
      tensors.set(`${layer.name}.num_batches_tracked`, {
        dtype: 'I64',
        shape: [],
        data: BigInt64Array.of(9n),
      });
    }
  }
  return tensors;
}

function asFile(tensors: ReadonlyMap<string, Tensor>): Safetensors {
  const floats = (name: string) => tensors.get(name)!.data as Float32Array;
  return { path: 'tiny.safetensors', tensors, metadata: {}, floats };
}

/** Torchvision → Hugging Face, as transformers' convert_resnet_to_pytorch.py writes. */
function huggingFaceName(name: string): string {
  return name
    .replace(/^conv1\./, 'resnet.embedder.embedder.convolution.')
    .replace(/^bn1\./, 'resnet.embedder.embedder.normalization.')
    .replace(/^fc\./, 'classifier.1.')
    .replace(/^layer(\d)\.(\d+)\.(.*)$/, (_, stage, block, rest: string) => {
      const inner = rest
        .replace(/^conv(\d)/, (_, i) => `layer.${i - 1}.convolution`)
        .replace(/^bn(\d)/, (_, i) => `layer.${i - 1}.normalization`)
        .replace(/^downsample\.0/, 'shortcut.convolution')
        .replace(/^downsample\.1/, 'shortcut.normalization');
      return `resnet.encoder.stages.${stage - 1}.layers.${block}.${inner}`;
    });
}

const schemes: Record<string, (name: string) => string> = {
  torchvision: (name) => name,
  'DataParallel wrapper': (name) => `module.${name}`,
  'two wrappers': (name) => `model.module.${name}`,
  'Hugging Face': huggingFaceName,
  'pytorch-cifar': (name) => name.replace('.downsample.', '.shortcut.').replace(/^fc\./, 'linear.'),
};

for (const [scheme, rename] of Object.entries(schemes)) {
  test(`import of names: ${scheme}`, () => {
    const tensors = tinyTensors();
    const file = asFile(new Map([...tensors].map(([name, tensor]) => [rename(name), tensor])));
    assert.equal(detectNetwork(file), 'cifar-resnet8');
    const backbone = importWeights(file, 'cifar-resnet8');
    assert.equal(backbone.head.bias.length, 7);
    assert.equal(backbone.weightBits, 32);
    for (const { name } of layersOfKind(backbone.graph, 'conv'))
      assert.deepEqual(dequantize(backbone.convs[name]), tensors.get(`${name}.weight`)!.data);
    for (const [name, values] of Object.entries(backbone.batchNorms))
      assert.deepEqual(values, tensors.get(name)!.data);
    assert.deepEqual(backbone.head.weight, tensors.get('fc.weight')!.data);
    assert.equal(backbone.sha256, importWeights(asFile(tensors), 'cifar-resnet8').sha256);
  });
}

test('a file that is almost a network is compared with that network', () => {
  const refused = (tensors: Map<string, Tensor>) => {
    let message = '';
    assert.throws(
      () => detectNetwork(asFile(tensors)),
      (error: Error) => {
        ({ message } = error);
        return error instanceof UserError;
      },
    );
    return message;
  };
  const lacking = tinyTensors();
  lacking.delete('layer2.0.bn1.running_var');
  assert.match(
    refused(lacking),
    /of no network that xbm knows; most like cifar-resnet8, but tensor "layer2.0.bn1.running_var" is missing$/,
  );
  const prefixed = new Map([...tinyTensors()].map(([name, tensor]) => [`base_model.${name}`, tensor]));
  assert.match(refused(prefixed), /the first are "base_model.conv1.weight", "base_model.bn1/);
  assert.throws(
    () => importWeights(asFile(prefixed), 'cifar-resnet8'),
    /"conv1.weight" is missing \(near: base_model.conv1.weight\); .*; tensor "base_model.conv1.weight" is no part of cifar-resnet8 \(near: conv1.weight\).*; and \d+ more$/,
  );
});

test('names of microsoft/resnet-50', () => {
  const stem = 'resnet.encoder.stages';
  const cases = {
    'resnet.embedder.embedder.convolution.weight': 'conv1.weight',
    'resnet.embedder.embedder.normalization.running_mean': 'bn1.running_mean',
    [`${stem}.0.layers.0.shortcut.convolution.weight`]: 'layer1.0.downsample.0.weight',
    [`${stem}.0.layers.0.shortcut.normalization.bias`]: 'layer1.0.downsample.1.bias',
    [`${stem}.2.layers.5.layer.2.convolution.weight`]: 'layer3.5.conv3.weight',
    [`${stem}.3.layers.1.layer.0.normalization.num_batches_tracked`]: 'layer4.1.bn1.num_batches_tracked',
    'classifier.1.bias': 'fc.bias',
  };
  for (const [theirs, ours] of Object.entries(cases)) assert.equal(torchvisionName(theirs), ours);
});

test('what does not fit is named', () => {
  const refuse = (change: (tensors: Map<string, Tensor>) => void, ...expected: RegExp[]) => {
    const tensors = tinyTensors();
    change(tensors);
    assert.throws(
      () => importWeights(asFile(tensors), 'cifar-resnet8'),
      (error: Error) => {
        assert.ok(error instanceof UserError, error.stack);
        for (const pattern of expected) assert.match(error.message, pattern);
        return true;
      },
    );
  };
  const rename = (from: string, to: string) => (tensors: Map<string, Tensor>) => {
    tensors.set(to, tensors.get(from)!);
    tensors.delete(from);
  };
  refuse((t) => t.delete('bn1.bias'), /"bn1.bias" is missing/);
  refuse((t) => t.delete('fc.weight'), /"fc.weight" is missing/);
  refuse(
    rename('layer2.0.conv1.weight', 'layer2.0.convl.weight'),
    /"layer2.0.conv1.weight" is missing \(near: layer2.0.convl.weight/,
    /"layer2.0.convl.weight" is no part of cifar-resnet8 \(near: layer2.0.conv1.weight/,
  );
  refuse((t) => t.set('layer9.x', t.get('bn1.bias')!), /"layer9.x" is no part of/);
  refuse(
    (t) => t.set('conv1.weight', { ...t.get('conv1.weight')!, shape: [16, 27] }),
    /"conv1.weight" has shape \[16, 27\], not \[16, 3, 3, 3\]/,
  );
  refuse(
    (t) => t.set('module.bn1.bias', t.get('bn1.bias')!),
    /"bn1.bias" and "module.bn1.bias" are both bn1.bias/,
  );
  refuse((t) => {
    t.get('conv1.weight')!.data[5] = Number.NaN;
  }, /"conv1.weight" .* element 5: not finite/);
  refuse((t) => {
    t.get('bn1.running_var')!.data[2] = -1;
  }, /"bn1.running_var" .* element 2: a negative variance/);
  assert.throws(
    () => importWeights(asFile(tinyTensors()), 'resnet18'),
    /does not hold the weights of resnet18/,
  );
  assert.throws(() => detectNetwork(asFile(new Map())), /holds no tensors/);
  assert.throws(
    () => importWeights(asFile(tinyTensors()), 'cifar-resnet8', { classes: ['a'] }),
    /7 outputs, but 1/,
  );
});

test('the real ResNet-50 loads', async (context) => {
  const path = join(packageRoot(), '..', 'shared', 'data', 'backbones', 'resnet50-imagenet.safetensors.gz');
  if (!existsSync(path)) return context.skip('../shared/data is absent');
  const file = await readSafetensors(path);
  assert.equal(detectNetwork(file), 'resnet50');
  const backbone = importWeights(file, 'resnet50');
  assert.equal(Object.keys(backbone.convs).length, 53);
  assert.equal(backbone.head.bias.length, 1000);
});
