  // --- charts --------------------------------------------------------------------------------
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const drawn = new Set();
  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim(), grid = style.getPropertyValue("--grid").trim();
    const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid };
    return { ink, axis };
  };
  const dressed = (layout) => {
    const { ink, axis } = colours();
    return {
      ...layout, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 13 },
      xaxis: { ...layout.xaxis, ...axis }, yaxis: { ...layout.yaxis, ...axis },
    };
  };
  const config = { displayModeBar: false, responsive: true, displaylogo: false };
  // Plotly is packed; it is unpacked when a chart first comes near, or when nothing else is to do.
  // The policy of the page lets it run by its hash, so what is unpacked is what was packed.
  let loading = null;
  const load = () => loading ||= (async () => {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  })();
  const draw = async (element) => {
    try {
      await load();
      const chart = charts[element.dataset.chart];
      await Plotly.react(element, chart.data, dressed(chart.layout), config);
      drawn.add(element);
    } catch {
      element.textContent = "This browser could not draw the chart; it stands in words below.";
    }
  };
  recolour = () => drawn.forEach(draw);
  const plots = all(".plot");
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { watcher.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "600px" });
  plots.forEach((element) => watcher.observe(element));
  const rest = () => plots.forEach((element) => drawn.has(element) || draw(element));
  if (plots.length) setTimeout(() => (window.requestIdleCallback || setTimeout)(rest), 3000);
