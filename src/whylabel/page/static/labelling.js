// Labels many texts through the API: in batches, patiently where the server is busy, each text answered or accounted for.

import { ApiError, askPatiently, pause } from "./api.js";

const BATCH = 16;
const AT_ONCE = 2;
const TRIES = 5;

/**
 * Label texts; `done` is told each [place, answer] as it comes, where an answer is as in the API's `data`.
 * A text that cannot be labelled gets {status: "failed", error}. Throws if it is aborted, or the server has gone.
 */
export async function labelAll(texts, { model, mode, limits, signal, done, waiting }) {
  const batches = batched(texts, limits, done);
  const work = async () => {
    for (let batch = batches.pop(); batch; batch = batches.pop()) {
      await labelBatch(batch, { texts, model, mode, signal, done, waiting });
    }
  };
  batches.reverse();
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

async function labelBatch(places, context, tried = 0) {
  const { texts, model, mode, signal, done, waiting } = context;
  const body = { input: places.map((place) => texts[place]), model, mode, include: ["reasoning", "probabilities"] };
  try {
    const { data } = await askPatiently("v1/classify", { body, signal, waiting });
    for (const answer of data) done(places[answer.index], answer);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 0) {
      if (tried >= TRIES) throw error;
      waiting(2, error.message);
      await pause(2000, signal);
      await labelBatch(places, context, tried + 1);
    } else if (places.length > 1) {
      // One of them may be to blame: it alone is to fail.
      const half = Math.ceil(places.length / 2);
      await labelBatch(places.slice(0, half), context);
      await labelBatch(places.slice(half), context);
    } else {
      done(places[0], { status: "failed", error: error.message });
    }
  }
}

/** Return batches of places that the server accepts; texts that are too long for it are done at once. */
function batched(texts, limits, done) {
  const batches = [];
  let [batch, bytes] = [[], 0];
  const most = Math.min(BATCH, limits.max_texts, limits.max_queue);
  for (const [place, text] of texts.entries()) {
    const characters = text.length > limits.max_text_chars ? Array.from(text).length : text.length;
    if (characters > limits.max_text_chars) {
      const error = `the text has ${characters} characters; ${limits.max_text_chars} are allowed`;
      done(place, { status: "failed", error });
      continue;
    }
    // In JSON a character takes up to six bytes.
    const size = 6 * text.length + 4;
    if (batch.length === most || (batch.length && bytes + size > limits.max_body_bytes - 1024)) {
      batches.push(batch);
      [batch, bytes] = [[], 0];
    }
    batch.push(place);
    bytes += size;
  }
  if (batch.length) batches.push(batch);
  return batches;
}
