/** The report's plots, drawn by Apache ECharts on the server side (SVG, no DOM). */

import { BarChart, LineChart } from 'echarts/charts'
import { GridComponent, LegendComponent, MarkLineComponent, TitleComponent } from 'echarts/components'
import { type EChartsCoreOption, init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import type { Report } from './report.ts'
import type { RunResult } from './result.ts'

use([BarChart, LineChart, GridComponent, LegendComponent, MarkLineComponent, TitleComponent, SVGRenderer])

/** Share of the nodes that are complete over time, a step per node, with T* and the one server drawn in. */
export function completionPlot(report: Report): string {
  const marks = report.runs[0]
  return draw(900, 480, {
    title: {
      text: 'Complete nodes over time',
      subtext: `${report.experiment.scenario.name}, ${report.experiment.leechers} leechers`
    },
    legend: { top: 8, right: 16 },
    grid: { left: 64, right: 32, top: 72, bottom: 56 },
    xAxis: { type: 'value', name: 'seconds from the signal', nameLocation: 'middle', nameGap: 32, min: 0 },
    yAxis: { type: 'value', name: 'nodes complete', min: 0 },
    series: report.runs.map((run, index) => ({
      type: 'line',
      name: run.client,
      step: 'end',
      symbol: 'none',
      data: completionSteps(run),
      ...(index === 0 && marks !== undefined
        ? {
            markLine: {
              symbol: 'none',
              label: { formatter: '{b}' },
              data: [{ name: 'T*', xAxis: Number(marks.boundSeconds.toFixed(2)) }]
            }
          }
        : {})
    }))
  })
}

function completionSteps(run: RunResult): [number, number][] {
  const times = run.nodes
    .map(node => node.seconds)
    .filter(seconds => seconds !== undefined)
    .sort((a, b) => a - b)
  return [[0, 0], ...times.map((seconds, index): [number, number] => [Number(seconds.toFixed(3)), index + 1])]
}

/** One stacked bar per node: payload from the seeder and from other leechers. */
export function sourcesPlot(run: RunResult): string {
  const nodes = run.nodes.filter(node => node.bytesFrom !== undefined)
  const mib = (bytes: number): number => Number((bytes / 2 ** 20).toFixed(2))
  const fromSeeder = nodes.map(node => mib(node.bytesFrom?.seeder ?? 0))
  const fromOthers = nodes.map(
    (node, index) => mib(Object.values(node.bytesFrom ?? {}).reduce((sum, bytes) => sum + bytes, 0)) - (fromSeeder[index] ?? 0)
  )
  return draw(900, 480, {
    title: { text: 'Where each node got its bytes', subtext: run.client },
    legend: { top: 8, right: 16 },
    grid: { left: 64, right: 32, top: 72, bottom: 56 },
    xAxis: { type: 'category', data: nodes.map(node => node.name) },
    yAxis: { type: 'value', name: 'MiB' },
    series: [
      { type: 'bar', stack: 'bytes', name: 'from the seeder', data: fromSeeder },
      { type: 'bar', stack: 'bytes', name: 'from other leechers', data: fromOthers }
    ]
  })
}

function draw(width: number, height: number, option: EChartsCoreOption): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height })
  try {
    chart.setOption({ animation: false, backgroundColor: '#ffffff', ...option })
    return chart.renderToSVGString()
  } finally {
    chart.dispose()
  }
}
