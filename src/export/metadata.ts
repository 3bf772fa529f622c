import { FROZEN_OPSET } from '../engines/onnx/frozen/opset.js';
import { packageVersion } from '../paths.js';
import type { ExportRequest } from './exportModel.js';

/** The ONNX file's metadata_props: strings, those that hold more than one value in JSON. */
export function exportMetadata({ backbone, tasks, precision }: ExportRequest): Record<string, string> {
  const { imageSize } = tasks[0].task;
  const { mean, std } = backbone.normalization;
  return {
    format: 'xbm-export-1',
    programVersion: packageVersion(),
    network: backbone.graph.network,
    precision,
    opset: String(FROZEN_OPSET),
    weightBits: String(backbone.weightBits),
    activationBits: String(backbone.activationBits),
    backboneSha256: backbone.sha256,
    input: JSON.stringify({
      pixels: `uint8 [batch, ${imageSize}, ${imageSize}, 3]: rows, columns, RGB, 0 … 255 of sRGB`,
      ...(tasks.length > 1 ? { task: 'int64 scalar: position in tasks' } : {}),
    }),
    // The model does this itself: (pixel / 255 − mean) / std.
    normalization: JSON.stringify({ mean, std, inModel: true }),
    tasks: JSON.stringify(
      tasks.map(({ name, task, preparation }) => ({
        name,
        method: task.method.name,
        classes: task.classes,
        configHash: task.configHash,
        trainedWith: task.programVersion,
        preparation,
      })),
    ),
  };
}
