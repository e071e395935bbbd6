// The worker: gets the scene once; then, for each view that it is told, it sorts (for the graphics processor) or draws.

let sorter = null, splatter = null;
onmessage = ({data}) => {
  const {scene, covariance, picture, ticket} = data, begin = performance.now();
  if (covariance) splatter = new Splatter(data);
  else if (scene) sorter = new Sorter(scene);
  else if (picture) {
    const {bytes, drawn} = splatter.picture(picture);
    postMessage({bytes, drawn, ticket, milliseconds: performance.now() - begin}, [bytes.buffer]);
  } else {
    const order = sorter.sort(data);
    postMessage({order, ticket}, [order.buffer]);
  }
};
