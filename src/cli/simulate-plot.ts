/**
 * Draws a simulation as SVG with echarts on the server side: completion, copies and uplink use over time,
 * with the bound.
 */

import * as echarts from 'echarts'
import type { SimulationResult } from '../sim/run.ts'

const WIDTH = 900
const HEIGHT = 640

export function plotSvg(result: SimulationResult): string {
  const { series, nodes, boundMs, scenario, pieces, ratio } = result
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEIGHT })
  const panels = [
    { title: 'leechers complete', values: series.map(({ ms, completed }) => [ms / 1000, completed]), max: nodes },
    { title: 'copies in the swarm', values: series.map(({ ms, copies }) => [ms / 1000, copies]), max: nodes },
    {
      title: 'uplinks in use, %',
      values: series.map(({ ms, uplinkUse }) => [ms / 1000, Math.min(100, 100 * uplinkUse)]),
      max: 100
    }
  ]
  const lastS = Math.max((series.at(-1)?.ms ?? 0) / 1000, (boundMs / 1000) * 1.05)
  chart.setOption({
    animation: false,
    backgroundColor: '#fff',
    title: {
      text: `${scenario}: ${nodes} leechers, ${pieces} pieces, ${ratio.toFixed(3)} of the bound`,
      left: 'center',
      textStyle: { fontSize: 15 }
    },
    grid: panels.map((_, index) => ({ left: 60, right: 30, top: 60 + index * 190, height: 140 })),
    xAxis: panels.map((_, index) => ({ gridIndex: index, type: 'value', max: Math.ceil(lastS), name: index === 2 ? 's' : '' })),
    yAxis: panels.map(({ title, max }, index) => ({
      gridIndex: index,
      type: 'value',
      name: title,
      max,
      nameTextStyle: { align: 'left' }
    })),
    series: panels.map(({ values }, index) => ({
      type: 'line',
      xAxisIndex: index,
      yAxisIndex: index,
      showSymbol: false,
      data: values,
      markLine: {
        symbol: 'none',
        silent: true,
        label: { formatter: 'bound' },
        lineStyle: { color: '#c00' },
        data: [{ xAxis: boundMs / 1000 }]
      }
    }))
  })
  const svg = chart.renderToSVGString()
  chart.dispose()
  return svg
}
