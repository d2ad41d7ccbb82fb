// The page of the call graph: fetches the calls, draws them, and shows what is known of one that is clicked.

import { h, render } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import htm from "htm";
import { HEIGHT, WIDTH, place } from "./layout.js";

const html = htm.bind(h);
const PERIOD = 2000;

const name = (party) =>
  party.kind === "Pod" ? `${party.namespace}/${party.name}` : party.kind === "Node" ? `node/${party.name}` : party.kind;
const count = (call, what) => call.observed?.[what] ?? 0;
const failed = (call) => count(call, "refused") + count(call, "unanswered") + count(call, "blocked");
const key = (call) => call.metadata.namespace + "/" + call.metadata.name;

function useCalls() {
  const [state, setState] = useState({ calls: [], missing: {}, error: "" });
  useEffect(() => {
    let timer;
    const read = async () => {
      try {
        const answer = await fetch("calls.json");
        if (!answer.ok) throw new Error((await answer.json()).message);
        setState({ ...(await answer.json()), error: "" });
      } catch (error) {
        setState((before) => ({ ...before, error: String(error.message ?? error) }));
      }
      timer = setTimeout(read, PERIOD);
    };
    read();
    return () => clearTimeout(timer);
  }, []);
  return state;
}

function forwards(from, to) {
  const [x, y, endX, endY] = [from.x + WIDTH, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2];
  const bend = (endX - x) / 2;
  const path = `M ${x} ${y} C ${x + bend} ${y}, ${endX - bend} ${endY}, ${endX} ${endY}`;
  // Nearer to the callee: what comes from one caller is spread there.
  return { path, label: { x: x + (endX - x) * 0.62, y: y + (endY - y) * 0.7 - 7 } };
}

function backwards(from, to) {
  const [x, y, endX, endY] = [from.x + WIDTH / 2, from.y + HEIGHT, to.x + WIDTH / 2, to.y + HEIGHT];
  const low = Math.max(y, endY) + 60;
  return { path: `M ${x} ${y} C ${x} ${low}, ${endX} ${low}, ${endX} ${endY}`, label: { x: (x + endX) / 2, y: low - 12 } };
}

function loop({ x, y }) {
  const [startX, endX] = [x + WIDTH - 30, x + WIDTH - 90];
  return { path: `M ${startX} ${y} C ${startX + 20} ${y - 50}, ${endX - 20} ${y - 50}, ${endX} ${y}`, label: { x: x + WIDTH - 60, y: y - 42 } };
}

const clock = (time) => (time ? time.slice(0, 10) + " " + time.slice(11, 19) : "");

function Edge({ calls, from, to, chosen, onChoose }) {
  const total = calls.reduce((sum, call) => sum + count(call, "calls"), 0);
  const bad = calls.some(failed);
  const self = from === to;
  const { path, label: at } = self ? loop(from) : to.x <= from.x ? backwards(from, to) : forwards(from, to);
  const style = `stroke-width:${1.5 + Math.log10(1 + total)}px`;
  const classes = ["edge", bad && "bad", !total && "none", chosen && "chosen"].filter(Boolean).join(" ");
  const label = `${total} × ${[...new Set(calls.map((call) => call.port))].join(", ")}`;
  return html`<g class=${classes} onClick=${onChoose} data-calls=${total}>
    <path class="touch" d=${path} /><path d=${path} style=${style} marker-end="url(#arrow)" />
    <text x=${at.x} y=${at.y}>${label}</text>
  </g>`;
}

function Details({ calls }) {
  return html`<table class="details">
    <thead>
      <tr>
        <th>Caller</th><th>Callee</th><th>Service</th><th>Port</th><th>Calls</th><th>Refused</th><th>Unanswered</th>
        <th>Blocked</th><th>Sent</th><th>Received</th><th>First</th><th>Last</th>
      </tr>
    </thead>
    <tbody>
      ${calls.map(
        (call) => html`<tr key=${key(call)}>
          <td>${name(call.caller)}</td>
          <td>${name(call.callee)}</td>
          <td>${call.service || "–"}</td>
          <td>${call.port}/${call.protocol}</td>
          <td>${count(call, "calls")}</td>
          <td>${count(call, "refused")}</td>
          <td>${count(call, "unanswered")}</td>
          <td title=${call.observed?.blockedBy ?? ""}>${count(call, "blocked")}</td>
          <td>${count(call, "bytesSent")}</td>
          <td>${count(call, "bytesReceived")}</td>
          <td>${clock(call.observed?.firstSeen)}</td>
          <td>${clock(call.observed?.lastSeen)}</td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}

function Graph() {
  const { calls, missing, error } = useCalls();
  const [namespace, setNamespace] = useState("");
  const [chosen, setChosen] = useState("");
  const namespaces = [...new Set(calls.flatMap((c) => [c.caller.namespace, c.callee.namespace]).filter(Boolean))].sort();
  const shown = calls.filter((c) => !namespace || c.caller.namespace === namespace || c.callee.namespace === namespace);
  const groups = useMemo(() => {
    const found = new Map();
    for (const call of shown) {
      const id = name(call.caller) + " → " + name(call.callee);
      if (!found.has(id)) found.set(id, { id, from: name(call.caller), to: name(call.callee), calls: [] });
      found.get(id).calls.push(call);
    }
    return [...found.values()];
  }, [calls, namespace]);
  const parties = [...new Set(groups.flatMap((group) => [group.from, group.to]))];
  const { places, width, height } = place(parties, groups);
  const picked = chosen ? groups.filter((group) => group.id === chosen) : groups;
  return html`
    <header>
      <h1>Who calls whom</h1>
      <label>
        Namespace${" "}
        <select value=${namespace} onChange=${(event) => setNamespace(event.target.value)}>
          <option value="">all</option>
          ${namespaces.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}
        </select>
      </label>
      ${chosen && html`<button onClick=${() => setChosen("")}>All calls</button>`}
      ${missing.overruns > 0 && html`<span class="warning">Dropped events: ${missing.overruns}.</span>`}
      ${missing.forgotten > 0 && html`<span class="warning">Forgotten edges: ${missing.forgotten}.</span>`}
      ${error && html`<span class="warning">${error}</span>`}
    </header>
    ${groups.length === 0 && html`<p>No calls have been seen.</p>`}
    <div class="canvas">
      <svg width=${width} height=${height} role="img" aria-label="Call graph">
        <defs>
          <marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto"
            markerUnits="userSpaceOnUse"><path d="M 0 0 L 10 5 L 0 10 z" /></marker>
        </defs>
        ${groups.map(
          (group) => html`<${Edge} key=${group.id} calls=${group.calls} from=${places.get(group.from)}
            to=${places.get(group.to)} chosen=${group.id === chosen} onChoose=${() => setChosen(group.id)} />`,
        )}
        ${parties.map((party) => {
          const { x, y } = places.get(party);
          return html`<g class="party" key=${party} transform=${`translate(${x} ${y})`}>
            <title>${party}</title>
            <rect width=${WIDTH} height=${HEIGHT} rx="8" />
            <text x=${WIDTH / 2} y=${HEIGHT / 2 + 4}>${party.length > 26 ? "…" + party.slice(-25) : party}</text>
          </g>`;
        })}
      </svg>
    </div>
    <${Details} calls=${picked.flatMap((group) => group.calls)} />
  `;
}

const root = document.getElementById("graph");
root.textContent = "";
render(html`<${Graph} />`, root);
