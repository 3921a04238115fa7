import type { LexiconSource } from '#src/ai/local/lexicon.ts';

/** Spanish, shorter than the other two: the third language of the product. */
export const es: LexiconSource = {
  weights: {
    4: `perfect*, excelent*, maravillos*, espectacular*, fantastic*, increible*, impecable*, extraordinari*, genial, encanto, encantado con,
      me encanta, me encanto, lo mejor, la mejor, el mejor, los mejores, diez de diez, cinco estrellas, supero mis expectativas`,
    3: `feliz, felices, hermos*, precios*, lind*, buenisim*, satisfech*, recomiendo, recomendable*, recomendad*, muchas gracias, mil gracias, felicit*,
      vale la pena, valio la pena, delicios*, ric*, alegr*, enamorad*, impresionant*, confiable*, volvere, comprare de nuevo, agradecid*, adoro, amo, ame`,
    2: `bueno, buena, buen, buenos, buenas, gracias, grax, rapid*, facil*, amable*, atent*, cordial*, educad*, simpatic*, honest*, eficien*, comod*, bonit*,
      de calidad, buena calidad, gusto, gusta, gustan, gustaron, me gusta mucho, contento, contenta, tranquil*, segur*, puntual*, barat*, util*, funciona bien, llego bien, resolvieron,
      resuelto, solucionaron, solucionado, ayudaron, me ayudo, todo bien, mejor, mejoro, chever*, bacan*, padre, guay, copad*, barbaro, nada mal, sin problemas, a tiempo`,
    1: `de acuerdo, ok gracias, vale gracias, interesante*, correct*, jaja, jajaja, genial entonces, abrazo*, saludos cordiales, ayuda`,
    0: `buenos dias, buenas tardes, buenas noches, buen dia, buenas, todo bien?, que tal, mejor hora, mejor dia, cual es el mejor, me gustaria, mas barato, con gusto`,
    '-1': `caro, cara, demor*, tard*, retras*, lent*, dificil*, complicad*, problema, problemas, error, errores, falta, faltan, falto, espera*, confus*, equivocad*,
      lamentablemente, desafortunadamente, preocupad*, cansad*, molesta, raro, rara, sucio, sucia, no puedo, no abre, quej*, cancelar todo`,
    '-2': `malo, mala, malos, malas, mal, feo, fea, roto, rota, rotos, dañad*, danad*, defect*, fall*, no funciona, no sirve, no llego, no ha llegado, nunca llego, no llega, nadie contesta,
      nadie responde, no contestan, no responden, no me gusto, no me gusta, no recomiendo, no lo recomiendo, no vale, molest*, enojad*, enfadad*, triste*, decepcion*, frustrad*,
      insatisfech*, reembolso, devuelvan, devuelven el dinero, mi dinero, grosero*, grosera, maleducad*, engañ*, engan*, mentir*, mienten, miedo, irrespons*, incompeten*, arrepient*, perdida de tiempo, estafa*`,
    '-3': `pesim*, horrible*, terrible*, fatal, asco, asqueros*, basura, odio, odie, furios*, indignad*, ladron*, robo, robaron, fraude, vergüenza, verguenza, peor,
      peores, ridicul*, inaceptable*, nunca mas, jamas, mierda, una burla, denunci*, abogado`,
  },
  negators: 'no ni nunca jamas sin nada tampoco nadie',
  intensifiers: 'muy mucho super tan demasiado realmente totalmente completamente bastante re sumamente',
  afterIntensifiers: 'demasiado muchisimo mucho',
  diminishers: 'poco algo casi medio',
  contrasts: 'pero aunque sino embargo',
};
