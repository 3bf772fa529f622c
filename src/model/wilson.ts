/**
 * The 95 % confidence interval of a share, per cent (E. B. Wilson 1927): right also near 0 and 100 %.
 * @returns [lower, upper]
 */
export function wilsonInterval(correct: number, total: number): [number, number] {
  if (total === 0) return [0, 100];
  const z = 1.959964;
  const share = correct / total;
  const centre = share + z ** 2 / (2 * total);
  const spread = z * Math.sqrt((share * (1 - share)) / total + z ** 2 / (4 * total ** 2));
  const scale = 100 / (1 + z ** 2 / total);
  return [Math.max(0, scale * (centre - spread)), Math.min(100, scale * (centre + spread))];
}
