// How numbers and times are written: as in the report.

const WHOLE = new Intl.NumberFormat("en");

export const count = (n) => WHOLE.format(n);
export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}\u00a0%`;
export const seconds = (s) => (s < 10 ? `${s.toFixed(2)}\u00a0s` : `${s.toFixed(1)}\u00a0s`);
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

/** Return a share with its interval in words. */
export function rate({ count: k, n, share, ci95: [low, high] }) {
  const to = `${(100 * low).toFixed(0)} to ${percent(high)}`;
  return `${count(k)} of ${count(n)}, ${percent(share)} (95\u00a0% interval ${to})`;
}
