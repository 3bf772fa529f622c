import { UserError } from '../errors.js';
import type { Layer, Place, Values } from './layer.js';
import { parseValue } from './source.js';

/**
 * One `--set key.path=value` as a layer; the value is YAML, so `true`, `2e-4`, `null` and `{a: 1}` mean what they
 * mean in a file.
 * @param option the one that errors name
 */
export function parseOverride(text: string, option = '--set'): Layer {
  const name = `${option} ${text}`;
  const equals = text.indexOf('=');
  const keys = text.slice(0, equals).trim().split('.');
  if (equals < 0 || keys.some((key) => !/^[A-Za-z][\w-]*$/.test(key))) {
    throw new UserError(
      `${name}: expected key.path=value`,
      'For example: --set training.learningRate.masks=1e-3',
    );
  }
  if (text.slice(equals + 1).trim() === '') {
    throw new UserError(`${name}: has no value`, 'Write null where the default is meant.');
  }
  const place: Place = { key: name, value: name };
  const places = new Map<string, Place>();
  let values: unknown = parseValue(text.slice(equals + 1), name);
  for (let depth = keys.length; depth > 0; depth--) {
    places.set(keys.slice(0, depth).join('.'), place);
    values = { [keys[depth - 1]]: values };
  }
  return { values: values as Values, places };
}
