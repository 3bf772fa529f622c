import { isScalar, parseDocument, visit } from 'yaml';

const ABSOLUTE = /^(?:\/|~\/|[A-Za-z]:[\\/]|\\\\)/;

/** A run's config.yaml for other eyes: of a path of the machine that ran it, only the last part stays. */
export function portableConfig(text: string): string {
  const document = parseDocument(text);
  visit(document, {
    Scalar(_, node) {
      if (!isScalar(node) || typeof node.value !== 'string' || !ABSOLUTE.test(node.value)) return;
      node.value = node.value.split(/[\\/]+/).findLast((part) => part !== '') ?? '';
      node.comment = ' its folder is left out';
    },
  });
  return document.toString({ lineWidth: 0 });
}
