// How the page speaks with the service.

// The token comes behind the # of the address, which no server sees, and stays in this tab.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname);
}

async function call(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const answer = await fetch(path, { ...options, headers }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer. Is it still running?");
  });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Error(said.error ?? `The service answered with status ${answer.status}.`);
}

export const models = async () => (await call("api/models")).json();

const address = (model) => `api/models/${encodeURIComponent(model)}`;

export const examples = async (model, domain) => (await call(`${address(model)}/examples/${domain}`)).json();

export const training = async (model, after) => (await call(`${address(model)}/training?after=${after}`)).json();

export const sample = async (model, step) => (await call(`${address(model)}/training/samples/${step}`)).blob();

// Ask for something; `progress` is told the share that is done, and aborting `signal` gives the work up.
export async function ask(model, operation, fields, { progress = () => {}, signal } = {}) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "") body.append(name, one);
    }
  }
  const options = { method: "POST", body, signal, headers: { Accept: "text/event-stream" } };
  const answer = await call(`${address(model)}/${operation}`, options);
  for await (const [event, data] of events(answer.body)) {
    if (event === "progress") progress(data.done);
    if (event === "error") throw new Error(data.error);
    if (event === "result") return data;
  }
  throw new Error("The service broke off before it was done.");
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const [event, data] = part.split("\n").map((line) => line.slice(line.indexOf(": ") + 2));
      yield [event, JSON.parse(data)];
    }
  }
}

// The file that a data URI holds.
export function blobOf(uri) {
  const [head, data] = uri.split(",");
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: head.slice(5, head.indexOf(";")) });
}
