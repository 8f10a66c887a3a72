// The server's API: the key, refusals, waiting where the server is busy, streams.

const KEY = "whylabel-key";
let asking = null;

export class ApiError extends Error {
  constructor(status, message, retryAfter = null, row = null) {
    super(message);
    Object.assign(this, { status, retryAfter, row });
  }
}

/** Send a request and return its JSON; where the server wants a key, ask for it. Throws `ApiError`. */
export async function ask(path, { body, signal } = {}) {
  return (await send(path, body, signal)).json();
}

/** The same, but sent again for as long as the server is busy or loading; `waiting` is told for how long. */
export async function askPatiently(path, { body, signal, waiting = () => {} } = {}) {
  for (;;) {
    try {
      return await ask(path, { body, signal });
    } catch (error) {
      if (!(error instanceof ApiError) || !error.retryAfter || ![429, 503].includes(error.status)) throw error;
      waiting(error.retryAfter, error.message);
      await pause(1000 * error.retryAfter, signal);
    }
  }
}

/** Ask for an answer and yield its server-sent events as [name, data]. Throws `ApiError`. */
export async function* stream(path, body, signal) {
  const answer = await send(path, body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += value;
      const parts = rest.split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const event = parsed(part);
        if (event?.[0] === "error") throw refusal(event[1].error.code, event[1], null);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export function forgetKey() {
  sessionStorage.removeItem(KEY);
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;

async function send(path, body, signal) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = {};
    if (key !== null) headers.authorization = `Bearer ${key}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    let answer;
    try {
      answer = await fetch(path, {
        method: body === undefined ? "GET" : "POST",
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
        credentials: "omit",
        redirect: "error",
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "The server does not answer.");
    }
    if (answer.ok) return answer;
    if (answer.status !== 401) {
      const told = await answer.json().catch(() => ({}));
      throw refusal(answer.status, told, Number(answer.headers.get("retry-after")) || null);
    }
    // Another request may have been given the key in the meantime.
    if (sessionStorage.getItem(KEY) === key) await askForKey(key !== null);
  }
}

function refusal(status, told, retryAfter) {
  const message = told.error?.message ?? `The server answered ${status}.`;
  return new ApiError(status, message, retryAfter, told.row);
}

/** Let the person type the key; several requests wait for the same dialog. */
function askForKey(wasWrong) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key-dialog");
    const field = document.getElementById("key");
    document.getElementById("key-wrong").hidden = !wasWrong;
    field.value = "";
    // Without a key there is nothing to see, so it stays open until there is one.
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => asking && dialog.showModal();
    document.getElementById("key-form").addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        // A header holds plain characters alone; no key has others.
        sessionStorage.setItem(KEY, field.value.trim().replace(/[^\x21-\x7e]/g, "?"));
        field.value = "";
        asking = null;
        dialog.close();
        resolve();
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}

function parsed(part) {
  const name = /^event: (.*)$/m.exec(part)?.[1];
  const data = /^data: (.*)$/m.exec(part)?.[1];
  return name === undefined || data === undefined ? null : [name, JSON.parse(data)];
}

export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
