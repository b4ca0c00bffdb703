// Plotly figures side by side, redrawn by `Plotly.react`, which touches only what differs from the last drawing.

const CONFIG = { responsive: false, displaylogo: false, displayModeBar: false };
const PATIENCE_MS = 60_000;

// One copy of Plotly for the page, asked of the kernel once, however many explorers stand in it.
function library(model) {
  globalThis.servelabPlotly ??= new Promise((resolve, reject) => {
    const receive = (message, buffers) => {
      if (message !== "plotly") return;
      model.off("msg:custom", receive);
      const script = document.createElement("script");
      script.src = URL.createObjectURL(new Blob([buffers[0]], { type: "text/javascript" }));
      script.onload = () => resolve(globalThis.Plotly);
      script.onerror = reject;
      document.head.append(script);
    };
    model.on("msg:custom", receive);
    model.send("plotly");
    setTimeout(reject, PATIENCE_MS);
  });
  // A kernel that died before it answered does not spoil the page for the next one.
  globalThis.servelabPlotly.catch(() => (globalThis.servelabPlotly = undefined));
  return globalThis.servelabPlotly;
}

function render({ model, el }) {
  const grid = document.createElement("div");
  grid.className = "servelab-views";
  grid.style.setProperty("--servelab-column", `${100 / model.get("columns") - 2}%`);
  el.append(grid);
  const template = JSON.parse(model.get("template"));
  let Plotly;
  let drawn = [];
  let waiting = false;

  const draw = () => {
    waiting = false;
    const figures = model.get("figures");
    while (grid.children.length > figures.length) {
      Plotly.purge(grid.lastChild);
      grid.lastChild.remove();
    }
    figures.forEach((figure, n) => {
      const plot = grid.children[n] ?? grid.appendChild(document.createElement("div"));
      if (plot.data && drawn[n] === figure) return;
      const { data, layout } = JSON.parse(figure);
      // The learner's zoom and hidden legend entries stay, unless the figure itself fixes them.
      Plotly.react(plot, data, { uirevision: "kept", ...layout, template, autosize: true }, CONFIG);
    });
    drawn = figures;
  };
  // Steps of a slider that have arrived while the page was busy are drawn as one: the latest.
  const changed = () => {
    if (!Plotly || waiting) return;
    waiting = true;
    setTimeout(draw);
  };
  const fit = new ResizeObserver(() => {
    if (Plotly && grid.clientWidth) for (const plot of grid.children) Plotly.Plots.resize(plot);
  });

  library(model).then((loaded) => {
    Plotly = loaded;
    draw();
    fit.observe(grid);
  });
  model.on("change:figures", changed);
  return () => {
    model.off("change:figures", changed);
    fit.disconnect();
    if (Plotly) for (const plot of grid.children) Plotly.purge(plot);
  };
}

export default { render };
