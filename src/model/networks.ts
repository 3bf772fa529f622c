/**
 * @file The networks xbm knows, as layer graphs with torchvision's layer names. ResNet-18/34/50/101 follow
 * He et al. 2016 (arXiv:1512.03385) with the stride on the 3×3 convolution as in torchvision; cifar-resnet20/32/56
 * are its CIFAR variants with projection shortcuts (option B).
 */
import { UserError } from '../errors.js';
import type { Layer, LayerGraph } from './graph.js';

interface Architecture {
  readonly block: 'basic' | 'bottleneck';
  readonly stages: readonly { readonly width: number; readonly blocks: number }[];
  readonly stem: 'imagenet' | 'cifar';
}

const imagenetStages = (blocks: readonly number[]) =>
  blocks.map((count, stage) => ({ width: 64 << stage, blocks: count }));
const cifarStages = (blocks: number) => [16, 32, 64].map((width) => ({ width, blocks }));

const architectures: Record<string, Architecture> = {
  resnet18: { block: 'basic', stages: imagenetStages([2, 2, 2, 2]), stem: 'imagenet' },
  resnet34: { block: 'basic', stages: imagenetStages([3, 4, 6, 3]), stem: 'imagenet' },
  resnet50: { block: 'bottleneck', stages: imagenetStages([3, 4, 6, 3]), stem: 'imagenet' },
  resnet101: { block: 'bottleneck', stages: imagenetStages([3, 4, 23, 3]), stem: 'imagenet' },
  'cifar-resnet8': { block: 'basic', stages: cifarStages(1), stem: 'cifar' },
  'cifar-resnet20': { block: 'basic', stages: cifarStages(3), stem: 'cifar' },
  'cifar-resnet32': { block: 'basic', stages: cifarStages(5), stem: 'cifar' },
  'cifar-resnet56': { block: 'basic', stages: cifarStages(9), stem: 'cifar' },
};

/** Names accepted by {@link buildNetwork}. */
export const networkNames: readonly string[] = Object.keys(architectures);

/**
 * The layer graph of a named network with a head of `classes` outputs.
 * @throws UserError when the name is unknown
 */
export function buildNetwork(network: string, classes: number): LayerGraph {
  const architecture = architectures[network];
  if (!architecture) {
    throw new UserError(`unknown network "${network}"`, `Use one of: ${networkNames.join(', ')}.`);
  }
  return buildResidualNetwork(network, architecture, classes);
}

/** Height and width, in pixels, of the images that a network was made for; 224 for networks that xbm does not know. */
export function naturalImageSize(network: string): number {
  return architectures[network]?.stem === 'cifar' ? 32 : 224;
}

/** Builds any residual network of basic or bottleneck blocks; tests use tiny ones. */
export function buildResidualNetwork(
  network: string,
  architecture: Architecture,
  classes: number,
): LayerGraph {
  const layers: Layer[] = [];
  const push = (layer: Layer): string => {
    layers.push(layer);
    return layer.name;
  };
  const conv = (name: string, input: string, shape: [number, number, number, number]): string => {
    const [inChannels, outChannels, kernel, stride] = shape;
    return push({
      kind: 'conv',
      name,
      inputs: [input],
      inChannels,
      outChannels,
      kernel,
      stride,
      padding: (kernel - 1) / 2,
    });
  };
  const norm = (name: string, input: string, channels: number) =>
    push({ kind: 'batchNorm', name, inputs: [input], channels });
  const relu = (name: string, input: string) => push({ kind: 'relu', name, inputs: [input] });
  const quantize = (input: string) => push({ kind: 'quantize', name: `${input}.quant`, inputs: [input] });

  let channels = architecture.stages[0].width;
  let current =
    architecture.stem === 'imagenet'
      ? conv('conv1', 'input', [3, channels, 7, 2])
      : conv('conv1', 'input', [3, channels, 3, 1]);
  current = relu('relu', norm('bn1', current, channels));
  if (architecture.stem === 'imagenet') {
    current = push({ kind: 'maxPool', name: 'maxpool', inputs: [current], kernel: 3, stride: 2, padding: 1 });
  }

  const expansion = architecture.block === 'bottleneck' ? 4 : 1;
  architecture.stages.forEach(({ width, blocks }, stage) => {
    for (let index = 0; index < blocks; index++) {
      const prefix = `layer${stage + 1}.${index}`;
      const stride = stage > 0 && index === 0 ? 2 : 1;
      const outChannels = width * expansion;
      const source = quantize(current);
      const shapes: [number, number, number, number][] =
        architecture.block === 'bottleneck'
          ? [
              [channels, width, 1, 1],
              [width, width, 3, stride],
              [width, outChannels, 1, 1],
            ]
          : [
              [channels, width, 3, stride],
              [width, outChannels, 3, 1],
            ];
      let branch = source;
      shapes.forEach((shape, i) => {
        branch = norm(`${prefix}.bn${i + 1}`, conv(`${prefix}.conv${i + 1}`, branch, shape), shape[1]);
        if (i < shapes.length - 1) branch = quantize(relu(`${prefix}.relu${i + 1}`, branch));
      });
      let shortcut = current;
      if (stride !== 1 || channels !== outChannels) {
        const projection = conv(`${prefix}.downsample.0`, source, [channels, outChannels, 1, stride]);
        shortcut = norm(`${prefix}.downsample.1`, projection, outChannels);
      }
      const sum = push({ kind: 'add', name: `${prefix}.add`, inputs: [branch, shortcut] });
      current = relu(`${prefix}.relu`, sum);
      channels = outChannels;
    }
  });

  current = push({ kind: 'globalAveragePool', name: 'avgpool', inputs: [current] });
  push({ kind: 'linear', name: 'fc', inputs: [current], inFeatures: channels, outFeatures: classes });
  return { network, inputChannels: 3, layers };
}
