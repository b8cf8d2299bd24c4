(function () {
  const said = document.getElementById("said");
  let clock;
  function say(text) {
    said.textContent = text;
    said.classList.add("now");
    clearTimeout(clock);
    clock = setTimeout(() => said.classList.remove("now"), 2000);
  }
  function copyOld(text) {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
  async function copy(text) {
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      done = copyOld(text);
    }
    say(done ? "spelling copied" : text);
  }
  document.querySelectorAll("[data-copy]").forEach((button) => {
    button.addEventListener("click", () => copy(button.dataset.copy));
  });
  // A figure keeps the screen's width on paper unless it is told.
  const charts = document.querySelectorAll(".plotly-graph-div");
  addEventListener("beforeprint", () => {
    charts.forEach((chart) => Plotly.relayout(chart, { width: 680 }));
  });
  addEventListener("afterprint", () => {
    charts.forEach((chart) => Plotly.relayout(chart, { width: null, autosize: true }));
  });
  document.querySelectorAll(".plot.networks").forEach((plot) => {
    const chart = plot.querySelector(".plotly-graph-div");
    const shown = plot.nextElementSibling;
    chart.on("plotly_click", (event) => {
      const known = event.points[0].customdata;
      if (known) copy(known[0]);
    });
    chart.on("plotly_hover", (event) => {
      const known = event.points[0].customdata;
      const drawn = known && known[1] && document.getElementById("drawing-" + known[1]);
      if (drawn) {
        shown.hidden = false;
        shown.replaceChildren(drawn.content.cloneNode(true));
      }
    });
  });
})();
