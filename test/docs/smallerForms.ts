/** @file Which examples do not run here as they are written, and what makes them run: added arguments, nothing else. */

export interface SmallerForm {
  /** Of the example as it is written, words joined by one space. */
  readonly example: RegExp;
  readonly add: readonly string[];
  readonly because: string;
}

const set = (...settings: string[]) => settings.flatMap((setting) => ['--set', setting]);

const smallTraining = set(
  'backbone.network=cifar-resnet8',
  'training.imageSize=8',
  'training.epochs=1',
  'training.batchSize=4',
  'data.workers=0',
  'threads=1',
);
const smallImages = ['--batch-size', '4', '--image-size', '8', '--threads', '1'];
const quickCalibration = ['--calibration-images', '4', ...smallImages];

/** The first that matches counts; what matches none runs as it is written. */
export const smallerForms: readonly SmallerForm[] = [
  {
    example: /^xbm train small-/,
    add: set('training.imageSize=8', 'training.epochs=1', 'training.batchSize=8', 'threads=1'),
    because: '20 images of 8 pixels, with the ResNet-20 that the example names',
  },
  {
    example: /^xbm train .*--engine native/,
    add: [...smallTraining, '--engine', 'onnx'],
    because: 'as below; the kernels of the native engine need not be built here',
  },
  {
    example: /^xbm train /,
    add: smallTraining,
    because: 'ResNet-50 at 224 pixels trains for hours; the weights here are those of CIFAR ResNet-8',
  },
  {
    example: /^xbm reproduce (?!.*--dry-run)/,
    add: ['--dry-run'],
    because: 'all tasks of the paper, or a minute of training',
  },
  {
    example: /^xbm data verify cubs/,
    add: ['--subset', ...set('data.edition=2011')],
    because: '12 images, not 11,788',
  },
  {
    example: /^xbm data verify (cars|flowers)/,
    add: ['--subset'],
    because: 'a few images of two classes',
  },
  {
    example: /^xbm backbone check .*--weight-bits 32 --activation-bits 32 --crop/,
    add: [...smallImages, '--augmentation', 'random-resized-crop'],
    because: 'with 32 bits nothing is calibrated; small images, cropped as the example says',
  },
  {
    example: /^xbm backbone (check|import) .*--crop/,
    add: [...quickCalibration, '--augmentation', 'random-resized-crop'],
    because: 'images for a CIFAR network are not cropped unless asked; few and small images',
  },
  {
    example: /^xbm backbone (check|import) /,
    add: quickCalibration,
    because: 'of 12 images some are measured; calibration takes time by layers, images and pixels',
  },
];
