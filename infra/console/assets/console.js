// The console's own script: times in the viewer's zone, charts, and the states of buttons.
"use strict";

// Shows times in the viewer's zone. The exact time in UTC stays as the title.
function localTimes(root) {
  for (const element of root.querySelectorAll("time")) {
    if (element.title) continue;
    const unix = element.dataset.unix;
    const time = new Date(unix ? Number(unix) * 1000 : element.dateTime);
    if (Number.isNaN(time.getTime())) continue;
    element.title = time.toISOString();
    element.textContent = time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }
}

// Draws the charts of sales.
function charts(root) {
  if (!window.uPlot) return;
  for (const element of root.querySelectorAll(".chart")) {
    if (element.childElementCount) continue;
    const sold = element.dataset.values.trim().split(" ").map(Number);
    const step = element.dataset.unit === "hour" ? 3600 : 86400;
    // The last bar stands for the time from one step ago until now.
    const now = Date.now() / 1000 - step / 2;
    const times = sold.map((_, nth) => now - (sold.length - 1 - nth) * step);
    const style = getComputedStyle(document.documentElement);
    const axis = { stroke: style.getPropertyValue("--text"), grid: { stroke: style.getPropertyValue("--line") } };
    const options = {
      width: element.clientWidth, height: 150, legend: { show: false }, cursor: { show: false },
      title: element.dataset.unit === "hour" ? "Sold in each of 24 hours" : "Sold in each of 30 days",
      axes: [axis, { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6] }], scales: { y: { range: (u, low, high) => [0, Math.max(high, 1)] } },
      series: [{}, { fill: style.getPropertyValue("--assigned"), paths: uPlot.paths.bars({ size: [0.8] }), points: { show: false } }],
    };
    new uPlot(options, [times, sold], element);
  }
}

function fresh(root) {
  localTimes(root);
  charts(root);
}

// Browsers run this script before they draw the page, so the times do not move what is around them.
fresh(document);
document.addEventListener("htmx:afterSwap", (event) => fresh(event.target.parentElement || document));

// A search ends when the row that continues it is removed. The row in its place gets the focus, so that a screen
// reader says it.
document.addEventListener("click", (event) => {
  const more = event.target.closest("[data-stop]")?.closest(".more");
  if (!more) return;
  // The console stops to read when the request ends.
  htmx.trigger(more, "htmx:abort");
  const row = document.createElement("tr");
  const cell = row.insertCell();
  cell.colSpan = 6;
  cell.tabIndex = -1;
  cell.textContent = "Stopped. There may be more keys of this owner.";
  more.replaceWith(row);
  cell.focus();
});

// A button that starts something long says so. Beside it, another one stops it.
document.addEventListener("htmx:beforeRequest", (event) => {
  const button = event.target;
  if (!button.dataset.busy) return;
  button.dataset.label = button.textContent;
  button.textContent = button.dataset.busy;
  button.disabled = true;
  const stop = document.createElement("button");
  stop.type = "button";
  stop.textContent = "Stop";
  stop.addEventListener("click", () => htmx.trigger(button, "htmx:abort"));
  button.after(" ", stop);
});
document.addEventListener("htmx:afterRequest", (event) => {
  const button = event.target;
  if (!button.dataset.label || !button.isConnected) return;
  button.textContent = button.dataset.label;
  button.disabled = false;
  button.nextElementSibling?.remove();
});

// A part of a page that could not be loaded says why, and the progress of an import is asked for again.
function failed(element, text) {
  if (element.dataset.label) {
    document.getElementById("failure").textContent = text;
  } else if (element.dataset.polls) {
    setTimeout(() => htmx.trigger(element, "again"), 2000);
  } else {
    element.textContent = text;
    element.classList.add("failure");
  }
}
document.addEventListener("htmx:responseError", (event) => {
  const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  failed(event.target, page.querySelector(".failure")?.textContent || "The console does not answer.");
});
document.addEventListener("htmx:sendError", (event) => {
  failed(event.target, "The console does not answer. Does the command still run?");
});

// Sends a file as the body of one request, which may have any size.
async function upload(form, file) {
  const status = document.getElementById("upload-status");
  status.classList.remove("failure");
  status.textContent = `Sending ${file.name} …`;
  const address = `${location.pathname}?name=${encodeURIComponent(file.name)}`;
  try {
    const response = await fetch(address, { method: "POST", body: file, headers: { "X-Form-Token": form.dataset.token } });
    const text = await response.text();
    if (response.ok) {
      location.href = text;
      return;
    }
    const page = new DOMParser().parseFromString(text, "text/html");
    status.textContent = page.querySelector(".failure")?.textContent || "The console did not take the file.";
  } catch {
    status.textContent = "The console does not answer. Does the command still run?";
  }
  status.classList.add("failure");
}

document.addEventListener("change", (event) => {
  if (event.target.matches("#upload input") && event.target.files[0]) upload(event.target.form, event.target.files[0]);
});
document.addEventListener("dragover", (event) => {
  if (document.getElementById("upload")) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  const form = document.getElementById("upload");
  if (!form) return;
  event.preventDefault();
  if (event.dataTransfer.files[0]) upload(form, event.dataTransfer.files[0]);
});

// Draws the charts in the colors of the new scheme.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const element of document.querySelectorAll(".chart")) element.replaceChildren();
  charts(document);
});
